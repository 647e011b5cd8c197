"""Pieces of shots: their clips are those of the shot, and their bytes those of one process."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.jobs.cluster.kills import kill_at_random
from tests.jobs.cluster.standin import SPLIT, paced
from tests.jobs.cluster.test_driver import failing
from tests.jobs.resume.kills import clips_by_process, film_pictures, make_film
from tests.networks import compact, saved
from vsr.config import UpscaleConfig
from vsr.errors import InputError
from vsr.jobs.cluster.driver import upscale_on
from vsr.jobs.cluster.pieces import clips_of_piece, pieces
from vsr.jobs.upscale import upscale
from vsr.runtime.executor import WorkerOptions, open_executor
from vsr.upscaling.framing import clips_stand_alone
from vsr.upscaling.sizes import Size
from vsr.video.reading.clips import Clip, gathered
from vsr.video.reading.reader import Frame

PICTURES = [np.full((2, 2, 3), value, np.uint8) for value in range(3)]
TENTH_OF_PART = Size(1 << 12, (1 << 30) // (3 << 12) // 10)
"""Ten frames of this size are a whole part of raw pixels."""


def marked(shots: Sequence[Sequence[int]]) -> Iterator[tuple[Frame, bool]]:
    """Frames that show the pictures of these numbers."""
    number = 0
    for shot in shots:
        for place, picture in enumerate(shot):
            yield Frame(PICTURES[picture].copy(), number, Fraction(1)), place == 0
            number += 1


SHOTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=60), min_size=1, max_size=3)


def described(clip: Clip) -> tuple[object, ...]:
    return (
        clip.first_frame_index,
        [frame.pixels[0, 0, 0] for frame in clip.frames],
        [frame.pts for frame in clip.frames],
        clip.pictures,
        clip.is_repeated,
        clip.traits,
    )


@given(SHOTS, st.integers(1, 5), st.booleans(), st.booleans())
def test_the_clips_of_pieces_are_those_of_the_film(
    shots: list[list[int]], length: int, holds: bool, share: bool
) -> None:
    cut = partial(gathered, max_frames=length, share_repeats=share)
    whole = list(cut(marked(shots)))
    found = list(pieces(cut(marked(shots)), TENTH_OF_PART, holds=holds))
    frames = (frame for frame, _ in marked(shots))
    again = [list(clips_of_piece(frames, piece, share_repeats=share)) for piece in found]
    assert list(map(described, chain.from_iterable(again))) == list(map(described, whole))
    assert all(not clips[0].repeats_last and clips[0].starts_shot for clips in again)
    starts = [clip.first_frame_index for clip in whole if clip.starts_shot]
    assert list(chain.from_iterable(piece.shots for piece in found)) == starts
    ends = [piece.stretch.begin + piece.frames for piece in found]
    assert all(p.stretch.end in (None, end) for p, end in zip(found, ends, strict=True))


def test_a_shot_is_split_where_parts_of_encoded_frames_end() -> None:
    clips = gathered(marked([[number % 2 for number in range(52)]]), max_frames=4)
    found = pieces(clips, TENTH_OF_PART, holds=True)
    assert [piece.frames for piece in found] == [24, 24, 4]


@pytest.mark.parametrize(
    ("options", "alone"),
    [
        ({"model": "lanczos"}, True),
        ({"model": "lanczos", "texture": "realesr-general-x4v3"}, False),
        ({"model": "lanczos", "restore": "dust"}, False),
        ({"model": "realesr-general-x4v3"}, False),
        ({"model": "realesr-general-x4v3", "propagation_steps": "none"}, True),
        ({"model": "basicvsr-reds4", "propagation_steps": "none"}, False),
        ({"propagation_steps": "none"}, False),
        ({"propagation_steps": "none", "texture": "none"}, True),
    ],
)
def test_clips_stand_alone_where_nothing_is_handed_on(options: dict[str, str], alone: bool) -> None:
    assert clips_stand_alone(UpscaleConfig(**options)) == alone


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4", [40])


@pytest.fixture(scope="module")
def whole(film: Path) -> bytes:
    output = film.with_name("whole.mkv")
    upscale(film, output, SPLIT, model=paced(SPLIT))
    return output.read_bytes()


def pictures(folder: Path, frames: int) -> Path:
    """A folder of pictures of one shot, of which most are shown twice."""
    folder.mkdir()
    moving = list(film_pictures([frames]))
    for number in range(frames):
        shown = moving[number if number % 7 == 0 else number // 2 * 2]
        cv2.imwrite(str(folder / f"{number:04d}.png"), shown)
    return folder


@pytest.mark.parametrize(
    ("codec", "frames", "ending"),
    [pytest.param("x264", 260, ".mp4", marks=pytest.mark.slow), ("ffv1", 60, ".mkv")],
)
def test_a_shot_in_pieces_has_the_bytes_of_one_process(
    tmp_path: Path, codec: str, frames: int, ending: str
) -> None:
    source = pictures(tmp_path / "pictures", frames)
    config = replace(SPLIT, codec=codec, scale=2.0)
    outputs = tmp_path / f"one{ending}", tmp_path / f"two{ending}"
    reports = [upscale(source, outputs[0], config)]
    with open_executor(WorkerOptions()) as executor:
        reports.append(upscale_on(executor, source, outputs[1], config))
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    assert [report.shots for report in reports] == [(0,), (0,)]


@pytest.mark.slow
def test_a_network_without_propagation_has_the_bytes_of_one_process(
    tmp_path: Path, film: Path
) -> None:
    network = saved(compact(), tmp_path / "network.safetensors")
    config = replace(SPLIT, model=str(network), propagation_steps="none", device="cpu")
    outputs = tmp_path / "one.mkv", tmp_path / "two.mkv"
    upscale(film, outputs[0], config)
    with open_executor(WorkerOptions(processes=2)) as executor:
        upscale_on(executor, film, outputs[1], config)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "on workers"])
def test_a_shot_in_pieces_that_stopped_goes_on_with_what_is_left(
    tmp_path: Path, film: Path, whole: bytes, alone: bool
) -> None:
    output, log = tmp_path / "out.mkv", tmp_path / "log"
    load = partial(failing, at=20, mark=tmp_path / "mark", log=log, hands_on=False)
    with open_executor(WorkerOptions()) as executor:
        with pytest.raises(InputError, match="a clip has failed"):
            upscale_on(executor, film, output, SPLIT, load_model=load)
        log.unlink()
        if alone:
            upscale(film, output, SPLIT, model=load(SPLIT))
        else:
            upscale_on(executor, film, output, SPLIT, load_model=load)
    assert output.read_bytes() == whole
    assert min(int(line.split()[1]) for line in log.read_text().splitlines()) == 20


@pytest.mark.slow
def test_two_workers_share_a_film_of_one_shot(tmp_path: Path, film: Path, whole: bytes) -> None:
    output, log = tmp_path / "out.mkv", tmp_path / "log"
    load = partial(paced, pace=0.1, log=log)
    with open_executor(WorkerOptions(processes=2)) as executor:
        upscale_on(executor, film, output, SPLIT, load_model=load)
    assert output.read_bytes() == whole
    assert len(clips_by_process(log)) == 2


@pytest.mark.slow
def test_workers_and_drivers_killed_amid_pieces_end_in_the_bytes_of_one_process(
    tmp_path: Path,
) -> None:
    place = ("--processes", "2")
    kill_at_random(tmp_path, 1, workers=4, drivers=4, place=place, split=True)
