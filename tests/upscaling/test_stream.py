"""Frames given a few at a time become what a file of them becomes."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vsr
from tests.conftest import moving_pictures, two_shots
from tests.decoded import pixels
from vsr.checkpoints.load import load_pipeline
from vsr.config import UpscaleConfig
from vsr.errors import ConfigError, InputError
from vsr.ops.resize import reduce_frames
from vsr.pipelines.video import VideoUpscalePipeline
from vsr.upscaling.stream import UpscaleStream
from vsr.video.reading.shots import ShotDetector

CUT = 10
CONFIG = UpscaleConfig(max_clip_frames=4, seed=3)


@pytest.fixture(scope="module")
def pipe(tiny_model: Path) -> VideoUpscalePipeline:
    return load_pipeline(tiny_model, device="cpu")


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return two_shots()


@pytest.fixture(scope="module")
def batch(tiny_model: Path, frames: np.ndarray, tmp_path_factory: pytest.TempPathFactory):
    """What `vsr upscale` makes of a lossless file of the frames."""
    folder = tmp_path_factory.mktemp("stream")
    with av.open(str(folder / "in.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.time_base = "bgr0", Fraction(1, 25)
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    model = replace(CONFIG, model=str(tiny_model), device="cpu", dtype="float32", lossless=True)
    report = vsr.upscale(folder / "in.mkv", folder / "out.mkv", model)
    return pixels(report.output)


def in_groups(frames: np.ndarray, sizes: list[int]) -> Iterator[np.ndarray]:
    """Groups of these sizes, and then the rest."""
    done = 0
    for size in sizes:
        yield frames[done : done + size]
        done += size
    yield frames[done:]


@settings(max_examples=4, deadline=None)
@given(sizes=st.lists(st.integers(0, 6), max_size=6))
def test_pushed_in_any_groups_the_frames_become_those_of_the_file(pipe, frames, batch, sizes):
    stream = UpscaleStream(pipe, CONFIG)
    found = [stream.push(group) for group in in_groups(frames, sizes)]
    assert np.array_equal(np.concatenate([*found, stream.flush()]), batch)


def test_a_cut_that_is_told_is_one_that_is_found(pipe, frames, batch) -> None:
    stream = UpscaleStream(pipe, CONFIG, detector=None)
    found = [stream.push(frames[:CUT]), stream.push(frames[CUT:], new_shot=True), stream.flush()]
    assert np.array_equal(np.concatenate(found), batch)
    assert len(found[0]) + len(found[1]) >= CUT


def test_without_a_detector_and_a_word_there_is_no_cut(pipe, frames, batch) -> None:
    stream = UpscaleStream(pipe, CONFIG, detector=None)
    found = np.concatenate([stream.push(frames), stream.flush()])
    assert found.shape == batch.shape
    assert not np.array_equal(found, batch)


def test_a_shot_may_begin_before_its_frames_are_there(pipe, frames, batch) -> None:
    stream = UpscaleStream(pipe, CONFIG, detector=None)
    found = [stream.push(frames[:CUT]), stream.push(frames[:0], new_shot=True)]
    assert sum(map(len, found)) == CUT
    found += [stream.push(frames[CUT:]), stream.flush()]
    assert np.array_equal(np.concatenate(found), batch)


def test_frames_come_out_no_later_than_a_clip_and_what_the_detector_holds(pipe, frames) -> None:
    stream = UpscaleStream(pipe, CONFIG)
    done = 0
    for number, frame in enumerate(frames):
        done += len(stream.push(frame[None]))
        assert number + 1 - done < 4 + 3 + 2


def test_the_caller_may_use_its_buffer_again(pipe, frames, batch) -> None:
    stream = UpscaleStream(pipe, CONFIG)
    buffer = np.empty_like(frames[:1])
    found: list[np.ndarray] = []
    for frame in frames:
        buffer[0] = frame
        found.append(stream.push(buffer))
    assert np.array_equal(np.concatenate([*found, stream.flush()]), batch)


def test_noise_belongs_to_the_number_in_the_film(pipe, frames) -> None:
    results = []
    for first in (0, 0, 100):
        stream = UpscaleStream(pipe, CONFIG, detector=ShotDetector(), first_frame=first)
        results.append(np.concatenate([stream.push(frames[:3]), stream.flush()]))
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_an_empty_stream_gives_no_frames(pipe) -> None:
    assert len(UpscaleStream(pipe).flush()) == 0
    stream = UpscaleStream(pipe)
    assert stream.push(np.zeros((0, 8, 10, 3), np.uint8)).shape == (0, 32, 40, 3)
    assert stream.flush().shape == (0, 32, 40, 3)


def test_the_size_is_that_of_the_config(pipe, frames) -> None:
    stream = UpscaleStream(pipe, UpscaleConfig(scale=2))
    assert stream.push(frames[:0]).shape == (0, 48, 64, 3)
    stream.push(frames[:2])
    assert stream.flush().shape == (2, 48, 64, 3)


def test_frames_of_another_size_are_refused(pipe, frames) -> None:
    stream = UpscaleStream(pipe)
    stream.push(frames[:1])
    with pytest.raises(InputError, match="32x16 come after frames of 32x24"):
        stream.push(frames[:1, :16])


@pytest.mark.parametrize(
    "config", [UpscaleConfig(device="cuda"), UpscaleConfig(codec="av1"), UpscaleConfig(start=1)]
)
def test_options_of_loading_and_of_files_are_refused(pipe, config) -> None:
    with pytest.raises(ConfigError, match="a stream cannot take it"):
        UpscaleStream(pipe, config)


def test_black_bars_come_out_at_exactly_their_colour(pipe: VideoUpscalePipeline) -> None:
    shot = np.stack(list(moving_pictures()))
    rows = shot.shape[1]
    shot[:, :8], shot[:, rows - 6 :] = (0, 1, 0), (0, 1, 0)
    stream = UpscaleStream(pipe, CONFIG)
    made = np.concatenate([stream.push(shot), stream.flush()])
    assert len(made) == len(shot)
    assert (made[:, : 4 * 8] == (0, 1, 0)).all()
    assert (made[:, 4 * (rows - 6) :] == (0, 1, 0)).all()
    inner = UpscaleStream(pipe, CONFIG)
    alone = np.concatenate([inner.push(shot[:, 8 : rows - 6]), inner.flush()])
    assert np.array_equal(made[:, 4 * 8 : 4 * (rows - 6)], alone)


def test_a_reduction_that_is_asked_for_is_that_of_the_reduced_frames(
    pipe: VideoUpscalePipeline,
) -> None:
    shot = np.stack(list(moving_pictures()))[:4]
    size = (shot.shape[1] // 2, shot.shape[2] // 2)
    config = replace(CONFIG, scale=2.0)
    stream = UpscaleStream(pipe, replace(config, reduce="2"))
    made = np.concatenate([stream.push(shot), stream.flush()])
    plain = UpscaleStream(pipe, replace(CONFIG, reduce="off"))
    small = np.concatenate([plain.push(reduce_frames(shot, *size)), plain.flush()])
    assert np.array_equal(made, small)
