"""Files of weights that are damaged or hostile end in one line, whatever byte is wrong."""

import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vsr.errors import ModelError
from vsr.models.weight_files import read_state, write_state

STATE = {"conv.weight": torch.arange(24.0).reshape(2, 3, 2, 2), "conv.bias": torch.ones(2)}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_state_comes_back_as_it_was(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(STATE, path)
    else:
        write_state(STATE, path)
    found = read_state(path)
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)


def test_a_state_inside_an_entry_is_found(tmp_path: Path) -> None:
    torch.save({"ema": STATE, "step": 3}, tmp_path / "weights.pt")
    assert read_state(tmp_path / "weights.pt", under="ema").keys() == STATE.keys()
    with pytest.raises(ModelError, match="ema is a dict; a state dict has tensors"):
        read_state(tmp_path / "weights.pt")


def test_a_part_of_a_larger_storage_is_written_alone(tmp_path: Path) -> None:
    write_state({"part": torch.arange(10)[2:4]}, tmp_path / "part.safetensors")
    assert load_file(tmp_path / "part.safetensors")["part"].tolist() == [2, 3]


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_any_damage_gives_the_weights_or_one_line(tmp_path: Path, suffix: str) -> None:
    path, rng = tmp_path / f"weights{suffix}", random.Random(0)
    if suffix == ".pth":
        torch.save(STATE, path)
    else:
        write_state(STATE, path)
    whole = path.read_bytes()
    for _ in range(300):
        content = bytearray(whole[: rng.choice([len(whole), rng.randrange(len(whole))])])
        for _ in range(rng.randrange(1, 12)):
            if content:
                content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(bytes(content))
        try:
            read_state(path)
        except ModelError as error:
            assert "\n" not in str(error)


def test_layer_numbers_may_exceed_the_number_of_tensors_by_layers_without_weights(
    tmp_path: Path,
) -> None:
    torch.save({f"body.{number}.weight": torch.ones(1) for number in (0, 3, 64)}, tmp_path / "w.pt")
    assert len(read_state(tmp_path / "w.pt")) == 3
