"""Items come in order, one ahead and one behind; errors surface where they belong."""

import threading
import time
from collections.abc import Iterator

import pytest

from vsr.jobs.prefetch import prefetch, write_behind


def test_items_come_in_order() -> None:
    with prefetch(iter(range(1, 6))) as items:
        assert list(items) == [1, 2, 3, 4, 5]


def test_the_next_item_is_fetched_while_the_caller_works() -> None:
    fetched = threading.Event()

    def items() -> Iterator[str]:
        yield "first"
        fetched.set()
        yield "second"

    with prefetch(items()) as coming:
        assert next(coming) == "first"
        assert fetched.wait(timeout=5)


def test_no_more_than_one_item_is_fetched_ahead() -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1, 9):
            asked.append(number)
            yield number

    with prefetch(items()) as coming:
        next(coming)
        next(coming)
    assert asked == [1, 2, 3]


def test_an_error_of_the_items_is_raised_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("torn")

    with prefetch(items()) as coming:
        assert next(coming) == 1
        with pytest.raises(ValueError, match="torn"):
            next(coming)


def test_work_is_done_in_order_and_finished_at_the_end() -> None:
    done: list[int] = []
    with write_behind(done.append) as put:
        for number in range(5):
            put(number)
    assert done == [0, 1, 2, 3, 4]


def test_an_error_of_the_work_ends_the_context() -> None:
    def work(item: int) -> None:
        raise OSError(f"disk full at {item}")

    with pytest.raises(OSError, match="disk full at 0"), write_behind(work) as put:
        put(0)


def test_an_error_of_the_work_is_raised_at_the_next_item() -> None:
    def work(item: int) -> None:
        raise OSError(f"disk full at {item}")

    put_two = False
    with pytest.raises(OSError, match="disk full at 0"), write_behind(work) as put:
        put(0)
        put(1)
        put_two = True
    assert not put_two


def test_an_error_of_the_caller_waits_for_the_work_and_passes_through() -> None:
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt), write_behind(done.append) as put:
        put(0)
        raise KeyboardInterrupt
    assert done == [0]


def test_nothing_runs_after_an_interrupt_while_the_thread_starts(monkeypatch) -> None:
    start = threading.Thread.start

    def interrupted(self: threading.Thread) -> None:
        start(self)
        raise KeyboardInterrupt

    def slow() -> Iterator[int]:
        for number in range(2):
            time.sleep(0.1)
            yield number

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    items = slow()
    with pytest.raises(KeyboardInterrupt), prefetch(items) as fetched:
        next(fetched)
    items.close()  # ValueError if it still ran
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt), write_behind(done.append) as put:
        put(1)
    before = list(done)
    time.sleep(0.05)
    assert done == before
