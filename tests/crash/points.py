"""Kill a forked process at one of the steps by which it changes files."""

import builtins
import io
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

CALLS = (
    *("fsync", "ftruncate", "link", "mkdir", "pwrite", "rename", "replace", "rmdir", "truncate"),
    *("unlink", "write"),
)
CRASHED = 77
_PATIENCE = 120


@dataclass(frozen=True)
class LibraryWrite:
    """A function that writes a file by a library; `place` is that of the file in its arguments.

    None: no argument is the file, and only the time before the call is a point.
    """

    owner: Any
    name: str
    place: int | None


class CrashPoints:
    """Counts the changes of a process to its files and ends it at number `at`, as a kill would."""

    def __init__(self, at: int) -> None:
        self.at, self.reached = at, 0

    def install(self, writes: Sequence[LibraryWrite] = ()) -> None:
        for name in CALLS:
            setattr(os, name, self.before(getattr(os, name)))
        builtins.open = io.open = self._opened(io.open)  # type: ignore[assignment]
        for write in writes:
            setattr(write.owner, write.name, self._torn(getattr(write.owner, write.name), write))

    def point(self) -> None:
        if self._is_next():
            os._exit(CRASHED)

    def write(self, data: memoryview, write: Callable[[memoryview], int | None]) -> int | None:
        """Points before the data is written and after half of it."""
        self.point()
        if len(data) > 1 and self._is_next():
            write(data[: len(data) // 2])
            os._exit(CRASHED)
        return write(data)

    def before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """A point before a call; that after it is the one before the next change."""

        def counted(*args: Any, **options: Any) -> Any:
            self.point()
            return call(*args, **options)

        return counted

    def _is_next(self) -> bool:
        self.reached += 1
        return self.reached == self.at

    def _torn(self, call: Callable[..., Any], write: LibraryWrite) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            self.point()
            done = call(*args, **options)
            if write.place is not None and self._is_next():
                path = args[write.place]
                os.truncate(path, Path(path).stat().st_size // 2)
                os._exit(CRASHED)
            return done

        return counted

    def _opened(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """`open`, whose files make a point of each write of the system."""
        points = self

        class File(io.FileIO):
            def write(self, data: Any, /) -> int | None:
                return points.write(memoryview(data).cast("B"), super().write)

        def opened(
            file: Any, mode: str = "r", buffering: int = -1, *text: Any, **options: Any
        ) -> Any:
            if isinstance(file, int) or "opener" in options or not set(mode) & set("wax+"):
                return plain(file, mode, buffering, *text, **options)
            points.point()
            raw = File(file, mode.replace("b", "").replace("t", ""))
            if buffering == 0:
                return raw
            buffered = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, *text, **options)

        return opened


def crashes(
    prepare: Callable[[int], Path],
    work: Callable[[Path], None],
    *,
    first: int = 1,
    every: int = 1,
    writes: Sequence[LibraryWrite] = (),
) -> Iterator[Path]:
    """Do the work in a new folder for each crash point, and give the folder after the crash.

    Ends when the work ran to its end.
    """
    for number in count(first, every):
        folder = prepare(number)
        if not crash(number, partial(work, folder), writes=writes):
            return
        yield folder


def crash(number: int, work: Callable[[], None], *, writes: Sequence[LibraryWrite] = ()) -> bool:
    """Do the work in a forked process that dies at a crash point; False if it ran to its end."""
    child = os.fork()
    if child == 0:
        code = 1
        signal.alarm(_PATIENCE)  # a child that hangs fails the test
        try:
            CrashPoints(number).install(writes)
            work()
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, CRASHED), f"point {number}: the work failed ({code})"
    return code == CRASHED
