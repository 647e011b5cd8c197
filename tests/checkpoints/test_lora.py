"""Files of LoRA: read, merged by the formula, and refused in one line if they do not fit."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vsr.checkpoints.load import load
from vsr.checkpoints.lora import SETTINGS, WEIGHTS, Lora, merge_lora, read_lora, write_lora
from vsr.errors import ConfigError, ModelError
from vsr.option_values import parse_lora


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(1)
    down, up = (torch.randn(s, generator=generator) for s in ((2, 3), (5, 2)))
    write_lora(Lora("a run", {"0": (down, up)}, alpha=4, rank=2), tmp_path / "lora")
    return tmp_path / "lora"


def test_a_lora_adds_its_scaled_product_to_its_layers_alone(folder: Path):
    plain, merged = network(), network()
    lora = read_lora(folder)
    merge_lora(merged, lora, 0.5)
    down, up = lora.pairs["0"]
    torch.testing.assert_close(merged[0].weight, plain[0].weight + 0.5 * 2 * up @ down)
    assert torch.equal(merged[1].weight, plain[1].weight)


def other_tensors(folder: Path) -> None:
    save_file({"unet.conv.weight": torch.zeros(1)}, folder / WEIGHTS)


def half(folder: Path) -> None:
    save_file({"base_model.model.0.lora_A.weight": torch.zeros(2, 3)}, folder / WEIGHTS)


def dora(folder: Path) -> None:
    settings = json.loads((folder / SETTINGS).read_text())
    (folder / SETTINGS).write_text(json.dumps({**settings, "use_dora": True}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / WEIGHTS).unlink(), "is missing"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"weights"), "cannot be read"),
        (lambda folder: (folder / SETTINGS).unlink(), "copy both"),
        (lambda folder: (folder / SETTINGS).write_text("{"), "not readable JSON"),
        (lambda folder: (folder / SETTINGS).write_text("{}"), "no numbers lora_alpha and r"),
        (other_tensors, "is no LoRA of peft: it holds unet.conv.weight"),
        (half, "down and up of base_model.model.0 do not fit together"),
        (dora, "sets use_dora"),
    ],
)
def test_a_file_that_is_no_plain_lora_is_refused_in_one_line(
    folder: Path, damage: Callable[[Path], None], message: str
):
    damage(folder)
    with pytest.raises(ModelError, match=message) as raised:
        read_lora(folder / WEIGHTS)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.Linear(3, 4)], r"its change of 0 has shape \(5, 3\), and the layer \(4, 3\)"),
        ([nn.SiLU()], "the layer 0, which this Sequential lacks"),
    ],
)
def test_the_lora_of_another_model_is_refused(folder: Path, layers: list[nn.Module], message: str):
    with pytest.raises(ModelError, match=f"LoRA of another model: .*{message}"):
        merge_lora(nn.Sequential(*layers), read_lora(folder))


def test_a_model_without_a_diffusion_network_takes_no_lora(folder: Path):
    with pytest.raises(ConfigError, match="bicubic has none"):
        load("bicubic", lora=str(folder))


def test_a_weight_follows_the_file(tmp_path: Path):
    assert parse_lora("a.safetensors") == (Path("a.safetensors"), 1.0)
    assert parse_lora("a.safetensors=0.8") == (Path("a.safetensors"), 0.8)
    (tmp_path / "a=b").mkdir()
    assert parse_lora(f"{tmp_path / 'a=b'}") == (tmp_path / "a=b", 1.0)
    with pytest.raises(ConfigError, match=r"the weight can be a number, as a=0\.8"):
        parse_lora("a=strong")
