"""Resumable work on many items: an executor, a journal, progress."""

import json
import logging
import socket
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vsr.errors import DependencyError, InputError, ModelError, VsrError, in_one_line
from vsr.runtime.executor import Done, WorkerOptions, open_executor
from vsr.runtime.files import write_atomically

_log = logging.getLogger(__name__)
_SECONDS_BETWEEN_LINES = 10.0

Item = TypeVar("Item")
Result = Any
"""Result of an item: plain values, as in JSON; None stands for a failure."""


class Task(NamedTuple):
    """An item with its name, and the number of the part of the results to which it belongs."""

    key: str
    item: Any
    part: int = 0


class UnseenFolderError(InputError):
    """A worker on another machine does not see a folder that all need."""


class Journal:
    """Results by key in a file, to which each is written at once.

    A call that finds the file resumes from it (`done`); with other `settings` it begins again.
    Raises InputError for a damaged file.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.done: dict[str, Result] = _read_journal(path, settings)
        self._file = path.open("a", encoding="utf-8")
        if self._file.tell() == 0:
            self._write({"settings": dict(settings)})

    def add(self, key: str, result: Result) -> None:
        """Note a result."""
        self.done[key] = result
        self._write({"key": key, "result": result})

    def remove(self) -> None:
        """Remove the file; call it when the results are safe elsewhere."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def work_through(
    tasks: Iterable[Task],
    work: Callable[[Item], Result],
    *,
    journal: Path,
    settings: Mapping[str, Any],
    workers: WorkerOptions | None = None,
    root: Path | None = None,
) -> dict[str, Result]:
    """The results of `work` by the tasks' keys, in the order of the tasks; failures are left out.

    Each result is written to the file `journal` at once, and a call that finds the file resumes
    from it; with other `settings` the work starts again. `finished` removes the file when the
    results are safe. `work` must be picklable if there are workers. An item that raises VsrError is
    named in the log and tried again by the next call.
    """
    with Journal(journal, settings) as found, show_progress(None) as advance:
        if found.done:
            _log.info("%d clips were done before", len(found.done))
        keys: list[str] = []

        def left() -> Iterator[Task]:
            for task in tasks:
                keys.append(task.key)
                if task.key not in found.done:
                    yield task

        for task, result in results(left(), work, workers=workers, root=root):
            if result is not None:
                found.add(task.key, result)
            advance(1)
        return {key: found.done[key] for key in keys if key in found.done}


def finished(journal: Path) -> None:
    """Remove the journal of work whose results are written."""
    journal.unlink(missing_ok=True)


def results(
    tasks: Iterable[Task],
    work: Callable[[Item], Result],
    *,
    workers: WorkerOptions | None = None,
    root: Path | None = None,
) -> Iterator[tuple[Task, Result]]:
    """The tasks with the results of `work` on their items as they finish; tasks may be endless.

    An item that raises a VsrError is named in the log, and its result is None. Errors that all
    items would raise are raised: a missing package, a model that does not load, and a worker that
    does not see the folder `root`.
    """
    tasks = iter(tasks)
    if (first := next(tasks, None)) is None:
        return
    workers = workers or WorkerOptions()
    # Workers are as many as there are CPUs; each of them computes on one.
    one_thread = bool(workers.processes or workers.cluster)
    call = partial(_call, work, one_thread=one_thread, root=root and root.absolute())
    failed = 0
    with open_executor(workers) as executor:
        for done in executor.map(call, chain([first], tasks)):
            result, error = _outcome(done)
            if error:
                failed += 1
                _log.warning("%s: skipped (%d skipped): %s", done.task.key, failed, error)
            yield done.task, result


@contextmanager
def show_progress(total: int | None) -> Generator[Callable[[int], None]]:
    """Shows a bar in a terminal, and a line in the log now and then elsewhere.

    Gives the function that takes the number of clips that are done; None: their total is unknown.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(total)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("clips"), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)


def _call(
    work: Callable[[Item], Result], task: Task, *, one_thread: bool, root: Path | None
) -> Result:
    if one_thread:
        import cv2

        cv2.setNumThreads(0)
    if root is not None and not root.is_dir():
        raise UnseenFolderError(
            f"{root} is not there for the worker on {socket.gethostname()}: videos, models and "
            "outputs must have the same path on all machines, as on NFS"
        )
    try:
        return work(task.item)
    except OSError as error:  # such as a file that was removed meanwhile
        raise InputError(in_one_line(error)) from error


def _outcome(done: Done[Task, Result]) -> tuple[Result, str]:
    """The result of a task, or None and its error."""
    try:
        return done.value(), ""
    except (DependencyError, ModelError, UnseenFolderError):
        raise
    except VsrError as error:
        return None, str(error)


def _read_journal(journal: Path, settings: Mapping[str, Any]) -> dict[str, Result]:
    if not journal.is_file():
        return {}
    lines: Sequence[str] = journal.read_text(encoding="utf-8").splitlines()
    try:
        found: list[dict[str, Any]] = [json.loads(line) for line in lines[:-1]]
        found += _last_line(lines)
    except ValueError as error:
        raise InputError(f"{journal} is damaged ({error}); remove it to begin again") from error
    if not found or found[0].get("settings") != json.loads(json.dumps(dict(settings))):
        _log.info("%s has other settings: beginning again", journal)
        journal.unlink()
        return {}
    # Removes an incomplete last line, which a killed run leaves.
    write_atomically(journal, "".join(json.dumps(line) + "\n" for line in found).encode())
    return {line["key"]: line["result"] for line in found[1:]}


def _last_line(lines: Sequence[str]) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in lines[-1:]]
    except ValueError:
        return []  # a killed run left it incomplete


def _lines(total: int | None) -> Callable[[int], None]:
    count, began = 0, time.monotonic()
    shown = began
    of = "" if total is None else f" of {total}"

    def advance(more: int) -> None:
        nonlocal count, shown
        count += more
        now = time.monotonic()
        if now - shown >= _SECONDS_BETWEEN_LINES:
            shown = now
            _log.info("%d%s, %.1f a second", count, of, count / (now - began))

    return advance
