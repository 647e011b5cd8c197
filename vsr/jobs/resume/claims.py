"""Who does what, among processes that share nothing but a folder.

A process writes a file about itself and touches it as long as it lives. To claim a task it makes a
file `TASK.GENERATION.jsonl`, which can be made once only. Where the maker of the newest generation
is dead, the next generation can be made: so a task is never taken from a living process, and a dead
one's is taken over by exactly one. Should a process that was taken for dead wake up, it writes the
same bytes as its successor, and its own journal.
"""

import errno
import json
import os
import secrets
import socket
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from vsr.jobs.resume.journal import read_lines, write_durably, write_error

_BEAT_SECONDS = 5.0
_DEAD_SECONDS = 60.0
"""A process on another machine that was silent for so long is dead."""
_SAME_START_SECONDS = 1.0
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES)


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process: where it runs, and what its machine knows it by."""

    machine: str
    pid: int
    began: float
    shares: bool = False
    """Whether it works together with others that do so too."""
    works: bool = False
    """Whether it has begun to."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.machine.partition('/')[0]}"


class Member:
    """This process, as the others see it: alive until the context ends, or it dies."""

    def __init__(self, folder: Path, *, shares: bool = False) -> None:
        self.token = secrets.token_hex(8)
        self._folder = folder
        self._path = _process_file(folder, self.token)
        self._me = ProcessId(_machine(), os.getpid(), psutil.Process().create_time(), shares)
        self._ended = threading.Event()
        self._pulse = threading.Thread(target=self._beat, name="pulse", daemon=True)

    def __enter__(self) -> Self:
        self._tell()
        self._pulse.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._pulse.ident is not None:
            self._pulse.join()
        with suppress(OSError):
            self._path.unlink()

    def note_working(self) -> None:
        """Let the others see that this process has begun to work."""
        self._me = replace(self._me, works=True)
        self._tell()

    def claim(self, task: Path) -> Path | None:
        """The journal of a task that is this process's from now on; None if it is another's.

        `task` is a path without an ending.
        """
        made = journals(task)
        if made and self.owner(task) is not None:
            return None
        path = task.with_name(f"{task.name}.{len(made):06d}.jsonl")
        return path if _make_once(path, self.token) else None

    def owner(self, task: Path) -> ProcessId | None:
        """The living process that has claimed the task, if there is one."""
        made = journals(task)
        first = next(read_lines(made[-1]), None) if made else None
        return None if first is None else self.living(str(first.get("token")))

    def others(self) -> list[ProcessId]:
        """The other living processes of the folder."""
        tokens = [path.stem for path in self._folder.glob("*.process") if path != self._path]
        return [process for process in map(self.living, tokens) if process is not None]

    def living(self, token: str) -> ProcessId | None:
        """The process with that token, if it lives."""
        path = _process_file(self._folder, token)
        found = next(read_lines(path), None)
        if found is None:
            return None
        process = ProcessId(**found)
        if process.machine == self._me.machine:
            return process if _runs(process) else None
        return process if self._age(path) < _DEAD_SECONDS else None

    def _tell(self) -> None:
        write_durably(self._path, f"{json.dumps(asdict(self._me))}\n".encode())

    def _age(self, path: Path) -> float:
        """Seconds since a file was touched, by the clock of the shared disk."""
        self._touch()
        try:
            return self._path.stat().st_mtime - path.stat().st_mtime
        except FileNotFoundError:
            return float("inf")

    def _beat(self) -> None:
        while not self._ended.wait(_BEAT_SECONDS):
            self._touch()

    def _touch(self) -> None:
        with suppress(OSError):  # a full disk is told by whoever writes
            os.utime(self._path)


def journals(task: Path) -> list[Path]:
    """The journals of all who ever claimed the task, the oldest first."""
    return sorted(task.parent.glob(f"{task.name}.??????.jsonl"))


def _process_file(folder: Path, token: str) -> Path:
    return folder / f"{token}.process"


def _make_once(path: Path, token: str) -> bool:
    """Make a journal that says whose it is; False if somebody else was quicker.

    By a link where the disk has such, so that it is never seen without its first line.
    """
    line = json.dumps({"token": token}) + "\n"
    draft = path.with_name(f".{token}.draft")
    try:
        draft.write_text(line)
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _make_without_link(path, line)
        return True
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        draft.unlink(missing_ok=True)


def _make_without_link(path: Path, line: str) -> bool:
    try:
        with path.open("x") as file:
            file.write(line)
    except FileExistsError:
        return False
    return True


def _machine() -> str:
    """The machine, and what its process numbers belong to: they begin anew with every start."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(os.stat("/proc/self/ns/pid").st_ino))  # noqa: PTH116
    return "/".join(parts)


def _runs(process: ProcessId) -> bool:
    try:
        found = psutil.Process(process.pid)
        same = abs(found.create_time() - process.began) < _SAME_START_SECONDS
        return same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
