"""Frames of any number, one by one: those of UpscaleStream, in bounded memory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import two_shots
from tests.networks import compact, saved
from vsr.checkpoints.load import load_pipeline
from vsr.config import UpscaleConfig
from vsr.errors import ConfigError, InputError
from vsr.pipelines.image import ImageUpscalePipeline
from vsr.pipelines.video import VideoUpscalePipeline
from vsr.upscaling.stream import UpscaleStream


@pytest.fixture(scope="module")
def pipe(tiny_model: Path) -> VideoUpscalePipeline:
    return load_pipeline(tiny_model, device="cpu")


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return two_shots()


@pytest.fixture(scope="module")
def expected(pipe: VideoUpscalePipeline, frames: np.ndarray) -> np.ndarray:
    stream = UpscaleStream(pipe, UpscaleConfig(max_clip_frames=4))
    return np.concatenate([stream.push(frames), stream.flush()])


def test_the_frames_are_those_of_a_stream(pipe, frames, expected):
    found = list(pipe.upscale(iter(frames), max_clip_frames=4))
    assert np.array_equal(np.stack(found), expected)


def test_pictures_give_pictures(pipe, frames, expected):
    pictures = (Image.fromarray(frame) for frame in frames)
    found = list(pipe.upscale(pictures, max_clip_frames=4, output_type="pil"))
    assert np.array_equal(np.stack([np.asarray(picture) for picture in found]), expected)


def test_floats_give_sixteen_bits_and_tensors_on_demand(pipe, frames, expected):
    given = torch.from_numpy(frames.transpose(0, 3, 1, 2)) / 255
    found = np.stack(list(pipe.upscale(given, max_clip_frames=4)))
    assert found.dtype == np.uint16
    assert np.abs(found / 257 - expected).max() < 1.1
    first = next(pipe.upscale(given, max_clip_frames=4, output_type="pt"))
    assert first.shape == (1, 3, 1, 96, 128)


def test_no_more_than_a_clip_and_the_detectors_frames_are_taken_ahead(pipe, frames):
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield frames[len(taken) % 4]

    large = pipe.upscale(endless(), max_clip_frames=4)
    for number in range(9):
        next(large)
        assert len(taken) - number <= 4 + 3 + 2 + 1


def test_a_buffer_that_is_used_again_is_copied(pipe, frames, expected):
    def reused():
        buffer = np.empty_like(frames[0])
        for frame in frames:
            buffer[:] = frame
            yield buffer

    assert np.array_equal(np.stack(list(pipe.upscale(reused(), max_clip_frames=4))), expected)


def test_one_generator_is_one_seed_for_all_clips(pipe, frames):
    seed = int(torch.randint(2**63 - 1, (1,), generator=torch.Generator().manual_seed(3)))
    by_seed, by_generator = (
        list(pipe.upscale(frames[:6], max_clip_frames=3, **choice))
        for choice in ({"seed": seed}, {"generator": torch.Generator().manual_seed(3)})
    )
    assert np.array_equal(by_seed, by_generator)


def test_an_option_without_use_is_refused_before_the_first_frame(pipe, frames, tmp_path):
    with pytest.raises(ConfigError, match="unknown sampling key eta"):
        pipe.upscale(frames, eta=1)
    network = ImageUpscalePipeline.from_file(saved(compact(), tmp_path / "net.pth"))
    with pytest.raises(ConfigError, match="has no use for it"):
        network.upscale(frames, num_inference_steps=3)


def test_a_frame_of_another_size_is_named(pipe, frames):
    with pytest.raises(InputError, match=r"frame 2 is uint8 of \(20, 32, 3\) after uint8 of"):
        list(pipe.upscale([frames[0], frames[1], frames[2][:20]]))


def test_clips_of_no_frames_are_refused(pipe, frames):
    with pytest.raises(ConfigError, match="at least 1 frame"):
        next(pipe.upscale(frames, max_clip_frames=0))


def test_no_frames_give_no_frames(pipe):
    assert list(pipe.upscale([])) == []


def test_an_image_network_streams_too(tmp_path, frames):
    network = ImageUpscalePipeline.from_file(saved(compact(scale=2), tmp_path / "net.pth"))
    found = np.stack(list(network.upscale(frames, max_clip_frames=4)))
    stream = UpscaleStream(network, UpscaleConfig(max_clip_frames=4))
    assert np.array_equal(found, np.concatenate([stream.push(frames), stream.flush()]))
