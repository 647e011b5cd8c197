"""Rows stream in, and parts are written as they finish."""

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vsr.errors import InputError
from vsr.runtime.executor import WorkerOptions
from vsr.training.data.clip_row import ClipRow, row_to_plain
from vsr.training.data.manifest import StoredManifest
from vsr.training.preparation import row_work
from vsr.training.preparation.row_work import RowTask, work_on_rows

pytest.importorskip("pyarrow")

ROWS = [ClipRow(f"{number:03d}.png", "image", "train", 1, 2, 30, 20) for number in range(10)]
TASKS = [RowTask(row.key, (row,), None if row.source == "003.png" else row) for row in ROWS]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_work, "PART_TASKS", 4)


def captioned(row: ClipRow, text: str = "a") -> list[dict[str, Any]]:
    return [row_to_plain(dataclasses.replace(row, caption=text))]


class Captions:
    """Captions rows, breaks off before the `stop`-th and refuses the row of `bad`."""

    def __init__(self, stop: int = 100, bad: str = "") -> None:
        self.stop, self.bad, self.calls = stop, bad, 0

    def __call__(self, row: ClipRow) -> list[dict[str, Any]]:
        if self.calls == self.stop:
            raise KeyboardInterrupt
        self.calls += 1
        if row.source == self.bad:
            raise InputError("it is broken")
        return captioned(row)


def run(folder: Path, work: Any, tasks: Any = TASKS, **settings: Any) -> StoredManifest:
    return work_on_rows(
        tasks, work, folder=folder / "work", root=folder, settings={"text": "a"} | settings
    )


def expected(*without: str) -> list[ClipRow]:
    silent = {"003.png", *without}
    return [row if row.source in silent else dataclasses.replace(row, caption="a") for row in ROWS]


def test_rows_without_work_and_failures_keep_their_rows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = run(tmp_path, Captions(bad="008.png"))
    assert list(found) == expected("008.png")
    assert "008.png#0-1: skipped (1 skipped): it is broken" in caplog.text
    parts = sorted(path.name for path in (tmp_path / "work").glob("part-*"))
    assert parts == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]


def test_an_interrupted_run_resumes_within_a_part(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Captions(stop=5))
    assert [path.name for path in (tmp_path / "work").glob("part-*")] == ["part-00000.parquet"]
    rest = Captions()
    assert list(run(tmp_path, rest)) == expected()
    assert rest.calls == 4  # of 9; one of part 1 was in its journal


def test_other_settings_and_other_rows_begin_again(tmp_path: Path) -> None:
    run(tmp_path, Captions())
    again = Captions()
    run(tmp_path, again, text="b")
    assert again.calls == 9
    changed = [dataclasses.replace(TASKS[0], rows=()), *TASKS[1:6]]
    again = Captions()
    assert list(run(tmp_path, again, changed, text="b")) == expected()[:6]
    assert again.calls == 3 + 2  # the parts that have other tasks
    assert list(run(tmp_path, again, [])) == []


def test_no_more_tasks_are_taken_than_workers_need(tmp_path: Path) -> None:
    taken: list[str] = []

    def tasks() -> Iterator[RowTask]:
        for task in many:
            taken.append(task.key)
            yield task

    class Watching(Captions):
        def __call__(self, row: ClipRow) -> list[dict[str, Any]]:
            most.append(len(taken) - self.calls)
            return super().__call__(row)

    rows = [dataclasses.replace(ROWS[0], source=f"{number:03d}.png") for number in range(60)]
    many = [RowTask(row.key, (row,), row) for row in rows]
    most: list[int] = []
    run(tmp_path, Watching(), tasks())
    assert max(most) <= 4  # a part


def test_processes_give_the_same_parts(tmp_path: Path) -> None:
    def parts(workers: WorkerOptions, name: str) -> list[bytes]:
        folder = tmp_path / name
        work_on_rows(TASKS, captioned, folder=folder, root=tmp_path, settings={}, workers=workers)
        return [path.read_bytes() for path in sorted(folder.glob("part-*"))]

    assert parts(WorkerOptions(processes=2), "two") == parts(WorkerOptions(), "one")
