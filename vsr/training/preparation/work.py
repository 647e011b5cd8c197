"""Resumable work on many items: processes, a journal, progress."""

import json
import logging
import multiprocessing
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vsr.errors import InputError, VsrError
from vsr.runtime.files import write_atomically

_log = logging.getLogger(__name__)
_SECONDS_BETWEEN_LINES = 10.0

Item = TypeVar("Item")
Result = Any
"""Result of an item: plain values, as in JSON."""


def work_through(
    items: Mapping[str, Item],
    work: Callable[[Item], Result],
    *,
    journal: Path,
    settings: Mapping[str, Any],
    workers: int = 0,
) -> dict[str, Result]:
    """The results of `work` by the items' keys, in the order of the items; failures are left out.

    Each result is written to the file `journal` at once, and a call that finds the file resumes
    from it; with other `settings` the work starts again. `finished` removes the file when the
    results are safe. `work` runs in `workers` processes (0: this one) and must be picklable then.
    An item that raises VsrError is named in the log and tried again by the next call.
    """
    done = _read_journal(journal, settings)
    left = {key: item for key, item in items.items() if key not in done}
    if len(left) < len(items):
        _log.info("%d of %d were done before", len(items) - len(left), len(items))
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a", encoding="utf-8") as file, _progress(len(left)) as advance:
        if file.tell() == 0:
            _write_line(file, {"settings": dict(settings)})
        for key, result in _successes(_results(left, work, workers), advance):
            done[key] = result
            _write_line(file, {"key": key, "result": result})
    return {key: done[key] for key in items if key in done}


def finished(journal: Path) -> None:
    """Remove the journal of work whose results are written."""
    journal.unlink(missing_ok=True)


def _successes(
    results: Iterable[tuple[str, Result, str | None]], advance: Callable[[], None]
) -> Iterator[tuple[str, Result]]:
    """The results without errors; each error is logged. Calls `advance` after every result."""
    failed = 0
    for key, result, error in results:
        if error is None:
            yield key, result
        else:
            failed += 1
            _log.warning("%s: skipped (%d skipped): %s", key, failed, error)
        advance()


def _results(
    items: Mapping[str, Item], work: Callable[[Item], Result], workers: int
) -> Iterable[tuple[str, Result, str | None]]:
    if workers == 0:
        yield from ((key, *_attempt(work, item)) for key, item in items.items())
        return
    # Not forked: OpenCV holds locks in threads that a fork would leave locked.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_use_one_thread)
    try:
        futures = {pool.submit(_attempt, work, item): key for key, item in items.items()}
        for future in as_completed(futures):
            yield (futures[future], *future.result())
    finally:
        pool.shutdown(cancel_futures=True)


def _attempt(work: Callable[[Item], Result], item: Item) -> tuple[Result, str | None]:
    try:
        return work(item), None
    except VsrError as error:
        return None, str(error)


def _use_one_thread() -> None:
    import cv2

    cv2.setNumThreads(0)


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


def _write_line(file: Any, line: Mapping[str, Any]) -> None:
    file.write(json.dumps(line) + "\n")
    file.flush()


@contextmanager
def _progress(total: int) -> Generator[Callable[[], None]]:
    """Shows a bar in a terminal, and a line in the log now and then elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(total)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("clips"), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


def _lines(total: int) -> Callable[[], None]:
    count, began = 0, time.monotonic()
    shown = began

    def advance() -> None:
        nonlocal count, shown
        count += 1
        now = time.monotonic()
        if now - shown >= _SECONDS_BETWEEN_LINES:
            shown = now
            _log.info("%d of %d, %.1f a second", count, total, count / (now - began))

    return advance
