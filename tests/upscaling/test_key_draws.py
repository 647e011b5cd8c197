"""Key frames are drawn in tiles where memory does not suffice for whole ones."""

from typing import Any

import numpy as np
import pytest

from tests.networks import compact, saved
from vsr.errors import DeviceError
from vsr.pipelines.image import ImageUpscalePipeline
from vsr.upscaling.key_draws import PipelineDraws


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> ImageUpscalePipeline:
    path = saved(compact(), tmp_path_factory.mktemp("draws") / "net.safetensors")
    return ImageUpscalePipeline.from_file(path)


class _Short:
    """A pipeline with memory for tiles of up to `largest` pixels."""

    def __init__(self, pipe: ImageUpscalePipeline, largest: int) -> None:
        self.pipe, self.largest = pipe, largest
        self.memory_traits = pipe.memory_traits

    def __call__(self, frames: np.ndarray, *, settings: Any) -> Any:
        if min(settings.tile or 10_000, max(frames.shape[1:3])) > self.largest:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return self.pipe(frames, settings=settings)


def draws(pipe: Any, largest: int) -> PipelineDraws:
    settings = pipe.configured({"propagation_steps": ()})
    return PipelineDraws("net", _Short(pipe, largest), settings)


def test_a_shortage_takes_tiles_and_the_same_picture(
    pipe: ImageUpscalePipeline, caplog: pytest.LogCaptureFixture
) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (1, 100, 200, 3), np.uint8)
    whole, tiled = draws(pipe, 10_000)(frames), draws(pipe, 120)(frames)
    assert "now in tiles of 100 pixels" in caplog.text
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_where_no_tile_fits_the_remedy_is_named(pipe: ImageUpscalePipeline) -> None:
    frames = np.zeros((1, 100, 200, 3), np.uint8)
    with pytest.raises(DeviceError, match=r"texture by net .*--texture none"):
        draws(pipe, 10)(frames)
