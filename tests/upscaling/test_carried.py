"""A clip's hand-over comes back from bytes as it was."""

from pathlib import Path

from vsr.config import UpscaleConfig
from vsr.runtime.timing import NullTimer
from vsr.upscaling.clip_upscaler import Upscaler
from vsr.upscaling.fallback import Fallback
from vsr.upscaling.load import load_upscaler
from vsr.upscaling.sizes import Size


def _upscaler(model: Path) -> Upscaler:
    config = UpscaleConfig(model=str(model), device="cpu", dtype="float32")
    return load_upscaler(config, Size(8, 8), NullTimer())


def test_without_propagation_it_is_nothing_but_how_the_clip_was_made(tiny_model: Path) -> None:
    given, found = _upscaler(tiny_model), _upscaler(tiny_model)
    given.fallback = Fallback(clip_frames=4, tile=64, offload=True, dtype="bfloat16")
    found.resume(given.carried())
    assert found.fallback == given.fallback
    assert found.carried() == given.carried()
