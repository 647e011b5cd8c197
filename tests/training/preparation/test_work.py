import json
import logging
import operator
from pathlib import Path

import pytest

from vsr.errors import InputError
from vsr.runtime.executor import WorkerOptions
from vsr.training.preparation.work import Task, finished, results, work_through

ITEMS = [Task(f"item {n}", n) for n in range(6)]
TWO = WorkerOptions(processes=2)
SQUARES = {task.key: task.item**2 for task in ITEMS}


class Squares:
    """Squares numbers, breaks off before the `stop`-th, refuses `bad`, and counts its calls."""

    def __init__(self, stop: int = 100, bad: int | None = None) -> None:
        self.stop, self.bad, self.calls = stop, bad, 0

    def __call__(self, number: int) -> int:
        if self.calls == self.stop:
            raise KeyboardInterrupt
        self.calls += 1
        if number == self.bad:
            raise InputError("it is broken")
        return number * number


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "work.journal"


def test_work_that_was_broken_off_goes_on_where_it_was(journal: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        work_through(ITEMS, Squares(stop=4), journal=journal, settings={"a": 1})
    rest = Squares()
    assert work_through(ITEMS, rest, journal=journal, settings={"a": 1}) == SQUARES
    assert rest.calls == 2
    finished(journal)
    assert not journal.exists()


def test_a_line_that_was_being_written_is_done_again(journal: Path) -> None:
    work_through(ITEMS, Squares(), journal=journal, settings={})
    journal.write_text(journal.read_text()[:-5])
    again = Squares()
    assert work_through(ITEMS, again, journal=journal, settings={}) == SQUARES
    assert again.calls == 1
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_other_settings_begin_anew(journal: Path) -> None:
    work_through(ITEMS, Squares(), journal=journal, settings={"a": 1})
    again = Squares()
    work_through(ITEMS, again, journal=journal, settings={"a": 2})
    assert again.calls == len(ITEMS)


def test_a_failure_is_named_and_tried_again(
    journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = work_through(ITEMS, Squares(bad=3), journal=journal, settings={})
    assert found == {key: square for key, square in SQUARES.items() if key != "item 3"}
    assert "item 3: skipped (1 skipped): it is broken" in caplog.text
    again = Squares()
    assert work_through(ITEMS, again, journal=journal, settings={}) == SQUARES
    assert again.calls == 1


def test_processes_give_the_same_results_in_the_same_order(journal: Path) -> None:
    found = work_through(ITEMS, operator.neg, journal=journal, settings={}, workers=TWO)
    assert list(found.items()) == [(task.key, -task.item) for task in ITEMS]


def test_a_folder_that_a_worker_does_not_see_ends_the_run_and_names_the_machine(
    journal: Path,
) -> None:
    with pytest.raises(InputError, match=r"none is not there for the worker on .*: videos, mod"):
        list(results(ITEMS, Squares(), root=journal.parent / "none"))


def test_a_file_that_has_gone_is_skipped(journal: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = list(results([Task("gone", journal)], Path.stat))
    assert found == [(Task("gone", journal), None)]
    assert "gone: skipped (1 skipped)" in caplog.text


def test_a_damaged_journal_is_an_error_that_names_it(journal: Path) -> None:
    work_through(ITEMS, Squares(), journal=journal, settings={})
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([lines[0], "{broken", *lines[2:]]) + "\n")
    with pytest.raises(InputError, match=r"work\.journal is damaged"):
        work_through(ITEMS, Squares(), journal=journal, settings={})
