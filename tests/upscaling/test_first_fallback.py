"""Too little memory for SeedVR is said before the first frame, with what would fit."""

import logging
from dataclasses import replace

import pytest
import torch

from tests.seedvr import save_folder, small_dit, small_vae
from vsr.config import UpscaleConfig
from vsr.errors import DeviceError
from vsr.models.seedvr.causal_conv import StreamState
from vsr.models.seedvr.causal_vae import CausalVideoVae
from vsr.models.seedvr.nadit import NaDiT
from vsr.pipelines.seedvr.memory import MemoryNeed
from vsr.pipelines.seedvr.networks import Networks
from vsr.runtime.timing import NullTimer
from vsr.upscaling.fallback import AS_ASKED, Fallback
from vsr.upscaling.first_fallback import first_fallback
from vsr.upscaling.load import load_upscaler
from vsr.upscaling.sizes import Size

CPU, GPU = torch.device("cpu"), torch.device("cuda")
SIZE = Size(720, 1280)


def published(device: torch.device) -> Networks:
    """The networks of SeedVR2-3B in bfloat16, without memory for their weights."""
    with torch.device("meta"):
        return Networks(NaDiT().bfloat16(), CausalVideoVae().bfloat16(), device)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch):
    """Sets the gigabytes that are free, and all that there are."""

    def set_to(free: float, total: float) -> None:
        place = "vsr.upscaling.first_fallback.room"
        monkeypatch.setattr(place, lambda _: (free * 1e9, total * 1e9))

    return set_to


def test_the_need_is_made_of_what_is_there():
    networks = Networks(small_dit("3b"), small_vae(), CPU)
    need = MemoryNeed.of(networks, 40, 24)
    state = StreamState()
    frames, latents = torch.zeros(1, 3, 5, 48, 32), torch.zeros(1, 16, 2, 6, 4)
    with torch.no_grad():
        networks.vae.encode(frames, state)
        networks.vae.decode(latents, state)
    assert need.carried == state.nbytes
    assert need.vae == sum(weight.nbytes for weight in networks.vae.parameters())


def test_the_published_network_carries_what_its_facts_say():
    need = MemoryNeed.of(published(GPU), 720, 1280)
    assert need.transformer == pytest.approx(6.78e9, rel=0.01)
    assert need.carried == pytest.approx(11.6e9, rel=0.03)


@pytest.mark.parametrize(
    ("device", "free", "expected"),
    [
        (GPU, 80, AS_ASKED),
        (GPU, 16, Fallback(offload=True)),
        (GPU, 7, Fallback(offload=True, by_rows=True)),
        (CPU, 80, AS_ASKED),
        (CPU, 26, Fallback(by_rows=True)),
    ],
)
def test_a_run_begins_with_the_cheapest_reduction_that_fits(memory, caplog, device, free, expected):
    memory(free, 80)
    assert first_fallback(published(device), SIZE) == expected
    assert (f"it begins with {expected}" in caplog.text) == (expected != AS_ASKED)


def test_where_nothing_fits_it_is_said_before_the_first_frame(memory, caplog):
    networks = published(CPU)
    memory(free=22, total=64)
    assert first_fallback(networks, SIZE) == Fallback(by_rows=True)
    assert "end other programs, or take --storage fp8" in caplog.text
    memory(free=22, total=22)
    with pytest.raises(DeviceError, match="take --storage fp8"):
        first_fallback(networks, SIZE)
    memory(free=3, total=4)
    with pytest.raises(DeviceError, match=r"even with idle .* a smaller output, as --height 5"):
        first_fallback(published(GPU), SIZE)
    with pytest.raises(DeviceError, match="take a larger machine"):
        first_fallback(networks, SIZE)


def test_loading_a_run_says_it(tmp_path, memory, caplog):
    caplog.set_level(logging.WARNING)
    config = UpscaleConfig(model=str(save_folder(tmp_path / "model")), device="cpu")
    memory(free=0.001, total=10)
    found = load_upscaler(replace(config, dtype="float32"), Size(128, 128), NullTimer())
    assert found.fallback == Fallback(by_rows=True)
    assert "SeedVR at 128x128 needs about" in caplog.text
