"""The stage timer books every second once."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from vsr.runtime.timing import NullTimer, StageTimer

PAUSE = 0.02


def test_a_stage_inside_another_is_taken_off_the_outer_one() -> None:
    timer = StageTimer()
    start = time.perf_counter()
    with timer("outer"):
        time.sleep(PAUSE)
        with timer("inner"):
            time.sleep(2 * PAUSE)
    elapsed = time.perf_counter() - start
    assert timer.seconds["inner"] >= 2 * PAUSE
    assert sum(timer.seconds.values()) == pytest.approx(elapsed, abs=0.01)


def test_threads_do_not_take_from_each_other() -> None:
    timer = StageTimer()

    def work(stage: str) -> None:
        with timer(stage):
            time.sleep(3 * PAUSE)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, ["a", "b"]))
    assert min(timer.seconds["a"], timer.seconds["b"]) >= 3 * PAUSE


def test_a_stage_that_fails_is_booked_too() -> None:
    timer = StageTimer()
    with pytest.raises(ValueError, match="x"), timer("a"):
        raise ValueError("x")
    assert "a" in timer.seconds


def test_an_accelerator_is_waited_for_at_both_ends_of_a_stage() -> None:
    calls: list[int] = []
    with StageTimer(synchronize=lambda: calls.append(1))("a"):
        assert len(calls) == 1
    assert len(calls) == 2


def test_the_null_timer_measures_nothing() -> None:
    with NullTimer()("a"):
        pass
