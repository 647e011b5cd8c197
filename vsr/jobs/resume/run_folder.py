"""A folder beside an output that a run can go on from, and that several processes can be at."""

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vsr.errors import ConfigError, OutputError
from vsr.jobs.resume.claims import Member, ProcessId, journals
from vsr.jobs.resume.identity import Identity, differences
from vsr.jobs.resume.journal import append_line, read_lines, write_durably

_log = logging.getLogger(__name__)

_IDENTITY, _RUN = "job.json", "run"
_READY = {"ready": True}
_READY_SECONDS = 60.0
_POLL_SECONDS = 0.2


def work_path(output: Path) -> Path:
    """Where the finished work of an output is kept."""
    return output.with_name(f"{output.name}.vsr")


def doomed_path(output: Path) -> Path:
    """The name that the folder has while it is deleted."""
    return output.with_name(f"{output.name}.vsr.old")


class RunFolder:
    """Where the finished work of `output` is kept while it is not whole. A context manager.

    It stays where the run fails and something was finished (`finished` says how much, in words;
    nothing: an empty string), so that the same command goes on. With `share` other processes with
    `share` may be at it too.

    Entering raises OutputError where another run is at it, and ConfigError where it was begun with
    another source or other parameters, unless `restart` is set: then it begins anew.
    """

    def __init__(
        self,
        output: Path,
        identity: Identity,
        finished: Callable[[], str],
        *,
        share: bool = False,
        restart: bool = False,
    ) -> None:
        self.path = work_path(output)
        self.member = Member(self.path, shares=share)
        self._output = output
        self._identity = identity
        self._finished = finished
        self._share = share
        self._restart = restart

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(exist_ok=True)
            self.member.__enter__()
            self._begin()
        except BaseException as error:
            self.__exit__(None, None, None)
            if isinstance(error, OSError):
                raise OutputError(
                    f"{self.path}, where finished work is kept, cannot be made: "
                    f"{error.strerror or error}"
                ) from error
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.member.__exit__(kind, error, trace)
        if self.path.is_dir() and not self._finished() and not self.member.others():
            self.remove()

    @property
    def is_gone(self) -> bool:
        """Whether another process has made the output whole."""
        return not (self.path / _IDENTITY).exists()

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Keep an object under a name."""
        write_durably(self.path / name, f"{json.dumps(dict(content))}\n".encode())

    def read(self, name: str) -> dict[str, Any] | None:
        """The object under a name, if it is there."""
        return next(read_lines(self.path / name), None)

    def remove(self) -> None:
        """Let the folder vanish at once, for all who look at it: nothing is needed any more."""
        doomed = doomed_path(self._output)
        delete(doomed)
        try:
            self.path.rename(doomed)
        except FileNotFoundError:
            return
        delete(doomed)

    def _begin(self) -> None:
        run = self.member.claim(self.path / _RUN)
        while run is None:
            owner = self.member.owner(self.path / _RUN)
            if owner is not None and not (self._share and owner.shares):
                raise self._busy(owner)
            if owner is not None and self._is_ready_soon():
                self._compare()
                self.member.note_working()
                return
            run = self.member.claim(self.path / _RUN)
        # Those that do not work yet wait for this process, or give up.
        working = [other for other in self.member.others() if other.works]
        for other in working:
            if self._restart or not (self._share and other.shares):
                raise self._busy(other)
        if not working:
            self._take_over()
        self._compare()
        self.member.note_working()
        append_line(run, json.dumps(_READY))

    def _take_over(self) -> None:
        """Make the folder that of this run, which is alone in it."""
        known = (self.path / _IDENTITY).exists()
        if self._restart or not known:
            self._clear()
            self.write(_IDENTITY, self._identity)
        elif finished := self._finished():
            _log.info("going on: %s finished in %s", finished, self.path)

    def _compare(self) -> None:
        found = self.read(_IDENTITY)
        if found is None:
            raise OutputError(f"{self.path} vanishes: another run has just ended; start again")
        changes = differences(found, self._identity)
        if changes:
            raise ConfigError(
                f"{self.path} holds what was begun otherwise ({self._finished() or 'nothing'} "
                f"finished): {', '.join(changes)}; run with what was given then, give another "
                "output, or begin anew with --restart"
            )

    def _is_ready_soon(self) -> bool:
        """Whether the process that came first has made the folder; False if it dies over it."""
        deadline = time.monotonic() + _READY_SECONDS
        while self.member.owner(self.path / _RUN) is not None:
            if _READY in read_lines(journals(self.path / _RUN)[-1]):
                return True
            if time.monotonic() > deadline:
                raise OutputError(
                    f"{self.path} was claimed by a process that does not go on: end it"
                )
            time.sleep(_POLL_SECONDS)
        return False

    def _busy(self, owner: ProcessId) -> OutputError:
        return OutputError(
            f"another run is writing {self._output} ({owner}): wait for it, end it, or give "
            "--share to both if they are to make one output together"
        )

    def _clear(self) -> None:
        """Delete everything but what says that this process is there."""
        for path in self.path.iterdir():
            if path.suffix != ".process" and not path.name.startswith((f"{_RUN}.", ".")):
                delete(path)


def delete(path: Path) -> None:
    """Remove a file or a folder, if it is there; what tells most of a folder goes last."""
    if path.is_dir():
        for entry in sorted(path.iterdir(), key=lambda entry: entry.suffix == ".json"):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
