"""A network's scale is known from its file's header, by every kind of file, without its weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from spandrel.architectures.IPT import IPT
from torch import nn

from tests.networks import compact, saved, swinir
from vsr.checkpoints import network_scale as module
from vsr.checkpoints.find import native_scale
from vsr.checkpoints.network_scale import network_scale
from vsr.errors import ModelError


@pytest.fixture
def never_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was loaded")

    monkeypatch.setattr(module.ImageNetwork, "load", refuse)


@pytest.mark.usefixtures("never_loaded")
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(
    ("make", "scale"),
    [(lambda: compact(scale=1), 1), (lambda: compact(scale=4), 4), (swinir, 2)],
    ids=["restoration", "compact", "swinir"],
)
def test_a_scale_is_known_without_loading(
    tmp_path: Path, make: Callable[[], nn.Module], scale: int, suffix: str
) -> None:
    path = saved(make(), tmp_path / f"net{suffix}")
    assert network_scale(path) == native_scale(str(path)) == scale


def test_an_architecture_that_computes_with_its_weights_is_loaded_whole(tmp_path: Path) -> None:
    network = IPT(n_feats=12, num_layers=1, mlp=False, no_pos=True, scale=[2], rgb_range=1)
    path = saved(network, tmp_path / "net.safetensors")
    assert network_scale(path) == 2


def test_a_file_without_a_network_is_an_error_that_names_it(tmp_path: Path) -> None:
    save_file({"layer.weight": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=r"other\.safetensors holds no image network"):
        network_scale(tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("not a network")
    with pytest.raises(ModelError, match=r"text\.safetensors cannot be read"):
        network_scale(tmp_path / "text.safetensors")
