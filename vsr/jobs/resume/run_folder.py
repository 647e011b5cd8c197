"""The folder beside an output that makes a run resumable, and the lock that keeps others off it.

Every process holds the lock on its file `rankNNNN.lock` in the folder, as long as it lives. Rank 0
(a run without a launcher is rank 0 of 1) waits until all ranks of its launch hold theirs, prepares
the folder and admits them by their tokens. Nobody else gets in.
"""

import json
import logging
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vsr.errors import ConfigError, OutputError
from vsr.jobs.resume.identity import Identity, differences
from vsr.jobs.resume.journal import read_lines, write_error
from vsr.jobs.resume.own_files import (
    IDENTITY,
    delete_entry,
    delete_work,
    removed_path,
    require_own,
    work_path,
    work_places,
)
from vsr.runtime.files import append_lines, flush_entries, write_atomically
from vsr.runtime.launcher import Ranks
from vsr.runtime.locks import HeldLock, is_locked, lock_owner, take_lock

_log = logging.getLogger(__name__)

_ADMITTED = "run.json"
_START_SECONDS = 120.0
"""A rank that has not come by then is missing: launchers start all at about the same time."""
_POLL_SECONDS = 0.2
_STRANGE_POLLS = 5
"""Between taking a lock and writing its owner, the file names an earlier one for an instant."""


class RunFolder(ABC):
    """The finished work of `output` while it is not complete. A context manager.

    The folder stays if the run fails and something was finished, so that the same command
    continues. Entering raises OutputError if another run holds the folder, if it is not one of
    vsr's, or if a rank of the launch is missing. It raises ConfigError if the folder was begun with
    another source or other parameters, unless `restart` is set: then all work in it is discarded.
    """

    def __init__(
        self, output: Path, identity: Identity, *, ranks: Ranks, restart: bool = False
    ) -> None:
        self.path = work_path(output)
        self.ranks = ranks
        self._output = output
        self._identity = identity
        self._restart = restart
        self._token = secrets.token_hex(8)
        self._lock: HeldLock | None = None

    @abstractmethod
    def finished(self) -> str:
        """Return the amount of finished work in words; an empty string if there is none."""

    def is_complete(self) -> bool:
        """Return whether all work is done, so that the last process removes the folder."""
        return False

    def __enter__(self) -> Self:
        try:
            self._open()
            if self.ranks.rank == 0:
                self._lead()
            else:
                self._follow()
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
        lock, self._lock = self._lock, None
        if lock is None or not lock.is_in_place():
            return
        with suppress(OSError):
            if self.ranks.rank:
                lock.release()
                lock = take_lock(self._lock_path(0))  # only its holder removes the folder
            alone = lock is not None and not self._others()
            if alone and (self.is_complete() or not self.finished()):
                self.remove()
        if lock is not None:
            lock.release()

    @property
    def token(self) -> str:
        """The name of this run, by which its workers know that it still goes on."""
        return self._token

    @property
    def is_gone(self) -> bool:
        """Return whether another rank has removed the folder, since the output is complete."""
        return self._lock is None or not self._lock.is_in_place()

    def check_in_place(self) -> None:
        """Raise OutputError if the folder is no longer the one that this process has locked."""
        if self.is_gone:
            raise OutputError(f"{self.path} cannot be written: it was moved or removed meanwhile")

    def check_rank(self, rank: int, waits_for: str) -> None:
        """Raise OutputError that names a rank if its process has ended."""
        if is_locked(self._lock_path(rank)) or self.is_gone:
            return
        owner = lock_owner(self._lock_path(rank))
        raise OutputError(
            f"rank {rank} ({_process(owner)}) ended before {waits_for}; its own message says why: "
            "run the same command again, it continues with what is finished"
        )

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Store an object under a name."""
        path = self.path / name
        try:
            write_atomically(path, f"{json.dumps(dict(content))}\n".encode())
        except OSError as error:
            raise write_error(path, error) from error

    def append(self, name: str, content: Mapping[str, Any]) -> None:
        """Add an object to those under a name, one a line, if this run still holds the folder."""
        self.check_in_place()
        path = self.path / name
        try:
            if not path.exists():
                path.touch()
                flush_entries(path.parent)
            append_lines(path, json.dumps(dict(content)))
        except OSError as error:
            raise write_error(path, error) from error

    def read(self, name: str) -> dict[str, Any] | None:
        """Return the object under a name, or None."""
        return next(read_lines(self.path / name), None)

    def remove(self) -> None:
        """Remove the folder: nothing in it is needed any more."""
        removed = removed_path(self._output)
        delete_work(removed)
        try:
            self.path.rename(removed)
        except OSError:  # gone, or a person has put files into what is removed
            delete_work(self.path)
        delete_work(removed)

    def _open(self) -> None:
        for path in work_places(self._output):
            require_own(path)
        self.path.mkdir(exist_ok=True)
        flush_entries(self.path.parent)
        path = self._lock_path(self.ranks.rank)
        self._lock = take_lock(path)
        if self._lock is None:
            raise self._busy(lock_owner(path))
        self._lock.describe(launch=self.ranks.launch, world=self.ranks.world, token=self._token)

    def _lead(self) -> None:
        """Wait for all ranks, prepare the folder and admit them."""
        tokens = [self._token, *(self._arrival(rank) for rank in range(1, self.ranks.world))]
        for path in self._others():
            if lock_owner(path).get("token") not in tokens:
                raise self._busy(lock_owner(path))
        if self._restart or self.read(IDENTITY) is None:
            self._clear()
            self.write(IDENTITY, self._identity)
        elif finished := self.finished():
            _log.info("going on: %s finished in %s", finished, self.path)
        self._compare()
        self.write(_ADMITTED, {"tokens": tokens})

    def _arrival(self, rank: int) -> str:
        """Wait until a rank of this launch holds its lock, and return its token."""
        path, deadline = self._lock_path(rank), time.monotonic() + _START_SECONDS
        while True:
            owner = lock_owner(path) if is_locked(path) else {}
            if token := owner.get("token"):
                if self._is_of_launch(owner):
                    return str(token)
                raise self._busy(owner)
            if time.monotonic() > deadline:
                raise OutputError(
                    f"rank {rank} of {self.ranks.world} did not begin within "
                    f"{_START_SECONDS:.0f} s: its own message says why, or the ranks do not see "
                    f"the same folder {self.path.parent}"
                )
            time.sleep(_POLL_SECONDS)

    def _follow(self) -> None:
        """Wait until rank 0 has prepared the folder and admitted this rank."""
        deadline = time.monotonic() + 2 * _START_SECONDS
        leader, seen, strange = self._lock_path(0), False, 0
        while not self.is_gone:
            if self._is_admitted():
                self._compare()
                return
            owner = lock_owner(leader)
            if is_locked(leader):
                seen = True
                strange = 0 if self._is_of_launch(owner) else strange + 1
                if strange == _STRANGE_POLLS:
                    raise self._busy(owner)
            elif seen or time.monotonic() > deadline:
                self.check_rank(0, "the work began")
            time.sleep(_POLL_SECONDS)

    def _is_admitted(self) -> bool:
        return self._token in (self.read(_ADMITTED) or {}).get("tokens", ())

    def _is_of_launch(self, owner: Mapping[str, Any]) -> bool:
        return (owner.get("launch"), owner.get("world")) == (self.ranks.launch, self.ranks.world)

    def _compare(self) -> None:
        found = self.read(IDENTITY)
        changes = differences(found or {}, self._identity)
        if changes:
            raise ConfigError(
                f"{self.path} was begun with other settings ({self.finished() or 'nothing'} "
                f"finished): {', '.join(changes)}; run with the settings of then, choose another "
                "output, or start again with --restart"
            )

    def _others(self) -> list[Path]:
        """Return the locks that processes other than rank 0 and this one hold."""
        here = (self._lock_path(0), self._lock_path(self.ranks.rank))
        paths = sorted(self.path.glob("rank*.lock"))
        return [path for path in paths if path not in here and is_locked(path)]

    def _lock_path(self, rank: int) -> Path:
        return self.path / f"rank{rank:04d}.lock"

    def _busy(self, owner: Mapping[str, Any]) -> OutputError:
        return OutputError(
            f"another run is writing {self._output} ({_process(owner)}): wait for it or end it"
        )

    def _clear(self) -> None:
        """Delete all work of earlier runs; the locks stay."""
        for path in sorted(self.path.iterdir()):
            if path.suffix != ".lock" and not path.name.startswith("."):
                delete_entry(path)


def _process(owner: Mapping[str, Any]) -> str:
    return f"process {owner.get('process', 'unknown')} on {owner.get('machine', 'unknown')}"
