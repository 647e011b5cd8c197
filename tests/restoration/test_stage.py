"""The stage: the same frames whatever the place where work begins, and no frame across a cut."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import vsr.restoration.plan
from vsr.restoration.plan import RepairPlan
from vsr.restoration.stage import Restorer
from vsr.video.reading.reader import Frame

ALL = RepairPlan(scratches=1, flicker=1, weave=1, dust=1)
EVERYTHING = replace(ALL, grain=1, fading=1)


def worn(count: int, seed: int, height: int = 48, width: int = 64) -> list[Frame]:
    """A moving texture that flickers and weaves, with specks."""
    rng = np.random.default_rng(seed)
    big = rng.integers(0, 256, (height + 40, width + 80, 3)).astype(np.float32)
    frames: list[Frame] = []
    for number in range(count):
        x, y = number % 30 + rng.integers(0, 3), 4 + rng.integers(0, 3)
        pixels = 60 + 0.4 * big[y : y + height, x : x + width] * rng.uniform(0.8, 1.1)
        at = rng.integers(0, height - 4), rng.integers(0, width - 4)
        pixels[at[0] : at[0] + 3, at[1] : at[1] + 3] = 250
        frames.append(Frame(pixels.astype(np.uint8), number, Fraction(1, 25)))
    return frames


def marked(*shots: list[Frame]) -> list[tuple[Frame, bool]]:
    return [(frame, number == 0) for shot in shots for number, frame in enumerate(shot)]


def pixels(given: list[tuple[Frame, bool]]) -> np.ndarray:
    return np.stack([frame.pixels for frame, _ in given])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [5, 8, 24, 40])
def test_small_frames_come_out_of_every_repair(side: int) -> None:
    assert len(list(Restorer(EVERYTHING).frames(marked(worn(6, 0, side, side))))) == 6


def test_all_frames_come_out_in_order_with_their_times_and_marks() -> None:
    given = marked(worn(7, 0), worn(3, 1))
    found = list(Restorer(ALL).frames(given))
    assert [frame.pts for frame, _ in found] == [frame.pts for frame, _ in given]
    assert [mark for _, mark in found] == [mark for _, mark in given]


def test_repaired_i_frames_are_still_told_from_others() -> None:
    given = marked([replace(frame, is_intra=frame.pts == 3) for frame in worn(6, 0)])
    found = [frame for frame, _ in Restorer(EVERYTHING).frames(given)]
    assert [frame.pts for frame in found if frame.is_intra] == [3]


def test_a_shot_is_repaired_alike_alone_and_between_others() -> None:
    before, shot, after = worn(4, 0), worn(9, 1), worn(5, 2)
    between = list(Restorer(ALL).frames(marked(before, shot, after)))[4:13]
    alone = list(Restorer(ALL).frames(marked(shot)))
    assert np.array_equal(pixels(between), pixels(alone))


@pytest.mark.parametrize("plan", [ALL, EVERYTHING], ids=["all", "everything"])
@pytest.mark.parametrize("needed", [1, 30])
def test_frames_are_the_same_wherever_work_goes_on(needed: int, plan: RepairPlan) -> None:
    """As after a kill: the frames before are read and not repaired."""
    given = marked(worn(34, 3))
    whole = list(Restorer(plan).frames(given))
    resumed = list(Restorer(plan, first_needed=lambda shot, first: first + needed).frames(given))
    assert np.array_equal(pixels(resumed)[needed:], pixels(whole)[needed:])
    assert np.array_equal(pixels(resumed)[:needed], pixels(given)[:needed])


def test_shots_that_nobody_asks_for_are_left_alone() -> None:
    given = marked(worn(5, 0), worn(5, 1))
    found = list(
        Restorer(ALL, first_needed=lambda shot, first: first if shot == 1 else None).frames(given)
    )
    assert np.array_equal(pixels(found)[:5], pixels(given)[:5])
    assert not np.array_equal(pixels(found)[5:], pixels(given)[5:])


@pytest.fixture
def reach(monkeypatch: pytest.MonkeyPatch) -> int:
    """The reach of all repairs for frames so large that memory has no room for more."""
    monkeypatch.setattr(vsr.restoration.plan, "_HELD_BYTES", 0)
    return ALL.reach(worn(1, 0)[0].pixels.nbytes)


def test_large_frames_wait_for_fewer_others() -> None:
    sizes = ((640, 480), (1280, 720), (3840, 2160))
    assert [ALL.reach(3 * w * h) for w, h in sizes] == [82, 58, 34]


def test_a_frame_depends_on_no_frame_beyond_the_reach(reach: int) -> None:
    given = worn(40, 4)
    other = [*given[:34], *worn(6, 5)]
    a, b = (pixels(list(Restorer(ALL).frames(marked(shot)))) for shot in (given, other))
    same = 34 - reach
    assert np.array_equal(a[:same], b[:same])


def test_no_more_frames_are_held_than_the_window_has(reach: int) -> None:
    restorer = Restorer(ALL)
    held = []
    for number, frame in enumerate(worn(60, 6)):
        held.append(number + 1 - len(restorer.push(frame, starts_shot=number == 0)))
        shot = restorer._shot
        assert shot is not None
        assert len(shot._frames) <= 2 * reach + 1
        assert sum(name == "steady" for name, _ in shot._facts) <= 6


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("value", [0, 255])
def test_films_of_few_frames_without_anything_stay_as_they_are(count: int, value: int) -> None:
    blank = np.full((40, 60, 3), value, np.uint8)
    given = [(Frame(blank, i, Fraction(1, 25)), i == 0) for i in range(count)]
    restorer = Restorer(EVERYTHING)
    assert np.array_equal(pixels(list(restorer.frames(given))), pixels(given))
    assert "nothing to repair" in (restorer.note() or "")


def test_a_film_that_was_repaired_is_not_called_clean() -> None:
    restorer = Restorer(ALL)
    list(restorer.frames(marked(worn(9, 1))))
    assert restorer.note() is None


@pytest.mark.parametrize("value", [0, 255])
def test_a_blank_frame_in_a_shot_leaves_the_others_alone(value: int) -> None:
    clip = [Frame(frame.pixels, i, Fraction(1, 25)) for i, frame in enumerate(worn(1, 2) * 15)]
    given = marked(clip)
    given[7] = (Frame(np.full_like(clip[7].pixels, value), 7, Fraction(1, 25)), False)
    found = pixels(list(Restorer(ALL).frames(given))).astype(int)
    apart = np.abs(found - pixels(given)).mean((1, 2, 3))
    assert np.delete(apart, 7).max() < 0.5


def test_deep_frames_stay_deep() -> None:
    deep = [
        (Frame(frame.pixels.astype(np.uint16) * 257, frame.pts, frame.time_base), mark)
        for frame, mark in marked(worn(4, 7))
    ]
    found = pixels(list(Restorer(ALL).frames(deep)))
    assert found.dtype == np.uint16
    assert np.abs(found / 257 - pixels(deep) / 257).mean() < 20
