"""Frames that repeat the one before get its large frame, and the networks do not see them."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import moving_pictures
from tests.networks import compact, saved
from vsr.checkpoints.load import Pipeline, load
from vsr.config import UpscaleConfig
from vsr.pipelines.keyframes import KeyframeTexture
from vsr.propagation.keyframes import KeyframeConfig
from vsr.runtime.timing import NullTimer
from vsr.upscaling.clip_upscaler import Upscaler
from vsr.upscaling.sizes import Size
from vsr.upscaling.stream import UpscaleStream
from vsr.video.reading.clips import clips
from vsr.video.reading.reader import Frame

HOLDS = (2, 1, 3, 1, 1, 9, 2, 1, 1, 3)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.stack(list(moving_pictures()))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return load(saved(compact(), tmp_path_factory.mktemp("net") / "net.pth"), device="cpu")


@pytest.fixture(scope="module")
def video(tiny_model: Path) -> Pipeline:
    return load(tiny_model, device="cpu", dtype="float32")


def shown(pictures: np.ndarray, holds: Sequence[int] = HOLDS) -> np.ndarray:
    return pictures.repeat(holds, axis=0)


def streamed(pipe: Pipeline, frames: np.ndarray, longest: int) -> np.ndarray:
    stream = UpscaleStream(pipe, UpscaleConfig(max_clip_frames=longest), detector=None)
    return np.concatenate([stream.push(frames), stream.flush()])


@pytest.mark.parametrize("longest", [1, 3, 16])
def test_held_pictures_are_those_of_a_film_that_shows_each_once(images, pictures, longest) -> None:
    held = streamed(images, shown(pictures), longest)
    if longest == 1:  # a picture that is held for long ends clips of other pictures too
        assert np.array_equal(held, shown(held[np.cumsum((0, *HOLDS[:-1]))]))
    else:
        assert np.array_equal(held, shown(streamed(images, pictures, longest)))


@pytest.mark.parametrize("longest", [2, 5])
def test_a_still_of_any_length_is_computed_once(video, pictures, longest) -> None:
    still = streamed(video, shown(pictures[:1], (50,)), longest)
    assert np.array_equal(still, streamed(video, pictures[:1], longest).repeat(50, axis=0))


def test_noise_is_that_of_the_first_frame_that_shows_the_picture(video, pictures) -> None:
    held = streamed(video, shown(pictures), 16)
    numbers = np.cumsum((0, *HOLDS[:-1])).tolist()
    expected = video(pictures, first_frame=numbers).frames
    assert np.array_equal(held, shown(expected))
    assert not np.array_equal(expected, video(pictures).frames)


@pytest.mark.parametrize("kind", ["np", "pil", "pt"])
def test_the_iterator_gives_the_frames_of_a_stream(video, pictures, kind) -> None:
    frames = shown(pictures)
    found = list(video.upscale(list(frames), max_clip_frames=2, detector=None, output_type=kind))
    if kind == "pt":
        found = [(x[0, :, 0] * 127.5 + 127.5).round().permute(1, 2, 0).byte() for x in found]
    assert np.array_equal(np.stack([np.asarray(x) for x in found]), streamed(video, frames, 2))


def test_a_caller_may_draw_on_its_frames(video, pictures) -> None:
    frames = shown(pictures[:1], (12,))
    first = None
    for frame in video.upscale(list(frames), max_clip_frames=2, detector=None):
        first = frame.copy() if first is None else first
        assert np.array_equal(frame, first)
        frame[:] = 0


def test_a_preset_computes_every_frame(video, pictures, tmp_path: Path) -> None:
    preset = tmp_path / "preset.yaml"
    preset.write_text("noise_level: 10\n")
    frames = shown(pictures[:2], (2, 2))
    found = np.stack(list(video.upscale(list(frames), preset=str(preset), detector=None)))
    assert not np.array_equal(found[0], found[1])


def test_a_resumed_shot_goes_on_in_the_middle_of_a_still(images, pictures) -> None:
    frames = [Frame(p, i, Fraction(1)) for i, p in enumerate(shown(pictures))]
    found = list(clips(frames, max_frames=2, detector=None, share_repeats=True))
    assert any(clip.repeats_last for clip in found)
    whole = _upscaler(images)
    for clip in found:
        resumed = _upscaler(images)
        if not clip.starts_shot:
            resumed.resume(whole.carried())
        expected = whole(clip)
        assert np.array_equal(resumed(clip).pixels, expected.pixels)
        assert expected.pts == tuple(frame.pts for frame in clip.frames)


@pytest.mark.parametrize("every", [4, None])
def test_texture_counts_frames_and_is_drawn_on_pictures(images, pictures, every) -> None:
    drawn: list[bytes] = []

    def draw(frames: np.ndarray) -> np.ndarray:
        drawn.append(frames.tobytes())
        return frames.repeat(4, axis=1).repeat(4, axis=2)

    results = []
    for longest in (2, 16):
        drawn.clear()
        upscaler = _upscaler(images)
        # what the base gets by propagation depends on where clips end
        upscaler.settings = replace(upscaler.settings, propagation_steps=())
        upscaler.texture = KeyframeTexture(KeyframeConfig(strength=1, every=every), 4, draws=draw)
        frames = [Frame(p, i, Fraction(1)) for i, p in enumerate(shown(pictures))]
        found = clips(frames, max_frames=longest, detector=None, share_repeats=True)
        results.append(np.concatenate([upscaler(clip).pixels for clip in found]))
        assert upscaler.texture.frames == len(frames)
        if every is not None:  # pictures begin at 0, 2, 3, 6, 7, 8, 17, ...
            expected = [pictures[i].tobytes() for i in (0, 3, 6, 9)]
            assert drawn == expected
    firsts = np.cumsum((0, *HOLDS[:-1]))
    assert np.array_equal(results[1], shown(results[1][firsts]))
    assert np.abs(results[0].astype(int) - results[1]).max() <= 1


def test_the_part_of_a_clip_for_which_memory_suffices_may_be_smaller(images, pictures) -> None:
    frames = [Frame(p, i, Fraction(1)) for i, p in enumerate(shown(pictures))]
    (clip,) = clips(frames, max_frames=16, detector=None, share_repeats=True)
    upscaler = _upscaler(images)
    upscaler.fallback = replace(upscaler.fallback, clip_frames=3)
    made = upscaler(clip)
    assert made.pixels.shape == (len(frames), 96, 128, 3)
    firsts = np.cumsum((0, *HOLDS[:-1]))
    assert np.array_equal(made.pixels, shown(made.pixels[firsts]))


def _upscaler(pipe: Pipeline) -> Upscaler:
    return Upscaler(pipe, pipe.settings, Size(96, 128), NullTimer())
