"""Other values of some weights take their places for a while, and leave nothing behind."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from vsr.errors import ModelError
from vsr.models.other_weights import OtherWeights, save_other_weights


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.PReLU(4), nn.Conv2d(4, 3, 3)).requires_grad_(False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file with the last layer of another network."""
    other = network(0)
    other[2] = network(1)[2]
    path = tmp_path / "other.safetensors"
    count = save_other_weights({"net": network(0)}, {"net": other}, path)
    assert count == 4 * 3 * 9 + 3
    return path


def test_only_what_differs_is_written(path: Path) -> None:
    assert set(load_file(path)) == {"net.2.weight", "net.2.bias"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_are_in_place_inside_the_block_alone(path: Path, dtype: torch.dtype) -> None:
    own, x = network(0).to(dtype), torch.rand(1, 3, 8, 8, dtype=dtype)
    before, weights = own(x), {name: value.clone() for name, value in own.named_parameters()}
    others = OtherWeights.load({"net": own}, path)
    expected = network(0)
    expected[2] = network(1)[2].half().float()
    for _ in range(2):
        with others.in_place():
            assert torch.equal(own(x), expected.to(dtype)(x))
        assert torch.equal(own(x), before)
    assert all(torch.equal(weights[name], value) for name, value in own.named_parameters())


def test_own_values_come_back_after_an_error(path: Path) -> None:
    own = network(0)
    with pytest.raises(RuntimeError), OtherWeights.load({"net": own}, path).in_place():
        raise RuntimeError
    assert torch.equal(own[2].weight, network(0)[2].weight)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.safetensors"):
        OtherWeights.load({"net": network(0)}, path)


def test_weights_of_another_network_are_refused(path: Path) -> None:
    with pytest.raises(ModelError, match=r"no network has a weight net\.2"):
        OtherWeights.load({"net": nn.Sequential(nn.Conv2d(3, 4, 3))}, path)
    with pytest.raises(ModelError, match="the net has other weights"):
        save_other_weights({"net": network(0)}, {"net": network(0)[:2]}, path)
