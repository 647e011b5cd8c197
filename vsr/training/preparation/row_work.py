"""Work on the rows of a manifest: they stream in, and parts of the new manifest are written."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsr.runtime.executor import WorkerOptions
from vsr.training.data.clip_row import ClipRow, row_from_plain
from vsr.training.data.manifest import StoredManifest, open_manifest, part_path, write_part
from vsr.training.data.manifest_file import batched
from vsr.training.preparation.work import Journal, Task, results, show_progress

_log = logging.getLogger(__name__)

PART_TASKS = 1024
"""Tasks of a part. Memory holds the parts with a task that runs: as many as workers at most."""
_JOURNAL = "journal"


@dataclass(frozen=True, slots=True)
class RowTask:
    """A row, or a file that has none yet, and the work on it."""

    key: str
    rows: tuple[ClipRow, ...]
    """Its rows in the new manifest if there is no work, or if the work fails."""
    item: Any = None
    """The argument of the work; None if there is none."""


def work_on_rows(
    tasks: Iterable[RowTask],
    work: Callable[[Any], list[dict[str, Any]]],
    *,
    folder: Path,
    root: Path,
    settings: Mapping[str, Any],
    workers: WorkerOptions | None = None,
    total: int | None = None,
) -> StoredManifest:
    """The manifest in `folder` with the rows that `work` makes, as plain values, of each item.

    Tasks come in the order of a manifest. A part of 1024 tasks is written as soon as its last one
    is done, and until then the results lie in its journal: a call that finds the folder resumes
    from both. With other `settings` the work starts again. `work` must be picklable if there are
    workers.
    """
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(folder / _JOURNAL, settings))
        if journal.done:
            _log.info("%d parts of %d clips were done before", len(journal.done), PART_TASKS)
        parts = _Parts(folder, root, journal, stack.enter_context(show_progress(total)))
        for task, result in results(parts.tasks(tasks), work, workers=workers, root=root):
            parts.add(task, result)
    parts.remove_others()
    return open_manifest(folder)


class _Parts:
    """The parts of a manifest that is being written."""

    def __init__(
        self, folder: Path, root: Path, journal: Journal, advance: Callable[[int], None]
    ) -> None:
        self._folder, self._root, self._journal, self._advance = folder, root, journal, advance
        self._open: dict[int, _Part] = {}
        self._count = 0

    def tasks(self, tasks: Iterable[RowTask]) -> Iterator[Task]:
        """The tasks that are left; opens their parts."""
        for number, some in enumerate(batched(tasks, PART_TASKS)):
            self._count = number + 1
            part = _Part(some)
            if self._journal.done.get(str(number)) == part.inputs:
                self._advance(len(some))
                continue
            part.resume(self._folder / f".part-{number:05d}.journal")
            self._advance(len(some) - len(part.waiting))
            self._open[number] = part
            left = [task for task in some if task.key in part.waiting]
            if not left:
                self._close(number)
            yield from (Task(task.key, task.item, number) for task in left)

    def add(self, task: Task, result: list[dict[str, Any]] | None) -> None:
        """Note a result; writes the part whose last one it is."""
        self._open[task.part].add(task.key, result)
        self._advance(1)
        if not self._open[task.part].waiting:
            self._close(task.part)

    def remove_others(self) -> None:
        """Remove the parts of an earlier run that this one does not have."""
        if not self._count:
            write_part(self._folder, 0, (), root=self._root)  # names the root
        own = {part_path(self._folder, number) for number in range(max(1, self._count))}
        for path in set(self._folder.glob("part-*")) - own:
            path.unlink()

    def _close(self, number: int) -> None:
        part = self._open.pop(number)
        write_part(self._folder, number, part.rows(), root=self._root)
        self._journal.add(str(number), part.inputs)
        part.end()


class _Part:
    """Tasks whose rows are written together."""

    def __init__(self, tasks: Sequence[RowTask]) -> None:
        self._tasks = tasks
        self.inputs = hashlib.sha256(repr(tasks).encode()).hexdigest()
        """Fingerprint: a part of other tasks is another part."""
        self.waiting: set[str] = set()
        """Keys of the tasks that are left."""

    def resume(self, journal: Path) -> None:
        """Read the results that are there."""
        self._journal = Journal(journal, {"inputs": self.inputs})
        done = self._journal.done
        self.waiting = {t.key for t in self._tasks if t.item is not None and t.key not in done}

    def add(self, key: str, result: list[dict[str, Any]] | None) -> None:
        """Note a result; None for a failure."""
        self.waiting.remove(key)
        if result is not None:
            self._journal.add(key, result)

    def rows(self) -> list[ClipRow]:
        """The rows of all tasks, in the order of a manifest."""
        rows = (row for task in self._tasks for row in self._rows(task))
        return sorted(rows, key=lambda row: row.place)

    def end(self) -> None:
        """Remove the journal."""
        self._journal.remove()

    def _rows(self, task: RowTask) -> Iterable[ClipRow]:
        plain = self._journal.done.get(task.key)
        return task.rows if plain is None else map(row_from_plain, plain)
