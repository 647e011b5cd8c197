"""What is kept of films while they go by does not grow with them."""

from pathlib import Path

import numpy as np

from tests.reporting.films import film
from vsr.reporting.films import Films
from vsr.reporting.watch import LONGEST, Thinned, Watch


def watched(tmp_path: Path, *, wanted: int | None = None, frames: int = 6) -> Watch:
    films = [film(tmp_path / name, frames=frames, spot=name == "b") for name in "ab"]
    watch = Watch(Films.open(films), row=24, wanted=wanted)
    assert len(list(watch.frames())) == frames
    return watch


def test_a_long_list_is_thinned_evenly() -> None:
    thinned: Thinned[int] = Thinned()
    for number in range(10 * LONGEST):
        thinned.add(number)
    assert LONGEST // 2 <= len(thinned.entries) <= LONGEST
    assert thinned.entries == list(range(0, 10 * LONGEST, thinned.step))


def test_one_moment_of_each_third_is_kept(tmp_path: Path) -> None:
    watch = watched(tmp_path)
    assert [moment.number // 2 for moment in watch.moments] == [0, 1, 2]
    assert watch.main.number == 2


def test_the_neighbours_of_a_moment_are_the_frames_before_it(tmp_path: Path) -> None:
    moment = watched(tmp_path, wanted=3).main
    assert moment.neighbours is not None
    assert [int(one[0, 0, 0]) for one in moment.neighbours] == [100 + int(50 * np.sin(0.4))] * 2


def test_the_neighbours_of_the_first_frame_are_those_after_it(tmp_path: Path) -> None:
    moment = watched(tmp_path, wanted=0).main
    assert moment.neighbours is not None
    assert [int(one[0, 0, 0]) for one in moment.neighbours] == [100 + int(50 * np.sin(0.2))] * 2


def test_curves_and_profiles_have_an_entry_for_each_frame(tmp_path: Path) -> None:
    watch = watched(tmp_path)
    assert [len(kept.entries) for kept in (*watch.brightness, *watch.profiles)] == [6] * 4
    assert [bool(score) for score in watch.differences[0].entries] == [False] * 2 + [True] + [
        False
    ] * 3
