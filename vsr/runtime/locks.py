"""Locks of the system on files: the kernel releases them when a process ends, however it ends.

On Linux `flock` works between machines too where a shared disk passes locks on, as NFS does unless
it is mounted with `nolock` or `local_lock`. A machine that loses power keeps its locks until the
server gives it up: about 90 seconds with NFS 4; with NFS 3, until it is started again.
"""

import errno
import json
import logging
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

_BUSY = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
_TRIES, _TRY_SECONDS = 4, 0.05
"""Another process that asks whether a lock is held has it for an instant."""


class HeldLock:
    """A lock that this process holds until it ends or calls `release`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def describe(self, **about: Any) -> None:
        """Write this process, its machine and `about` into the file, for those who find it held."""
        about = {"machine": socket.gethostname(), "process": os.getpid(), **about}
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{json.dumps(about)}\n".encode(), 0)
        os.fsync(self._descriptor)

    def is_in_place(self) -> bool:
        """Return whether the file still has its name: its folder was neither moved nor removed."""
        return _is_same(self._descriptor, self.path)

    def release(self) -> None:
        """Give the lock up; the file stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def take_lock(path: Path) -> HeldLock | None:
    """Return the lock on a file, which is created if it is missing; None if a process holds it.

    Where the disk has no locks the log says so, and the lock counts as taken.
    """
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_TRY_SECONDS)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        try:
            if _lock(descriptor, path) and _is_same(descriptor, path):
                return HeldLock(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    return None


def is_locked(path: Path) -> bool:
    """Return whether a living process holds the lock on a file."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(descriptor)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return True  # nobody can tell
    finally:
        os.close(descriptor)


def lock_owner(path: Path) -> dict[str, Any]:
    """Return what the process that took the lock wrote into the file; nothing if it is not there.

    The file of a dead process keeps its content: ask `is_locked` first.
    """
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text())
        if isinstance(found, dict):
            return found
    return {}


def _lock(descriptor: int, path: Path) -> bool:
    try:
        return _try_lock(descriptor)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _log.warning("the disk of %s has no locks: let no second run write there", path.parent)
        return True


def _try_lock(descriptor: int) -> bool:
    try:
        _lock_now(descriptor)
    except OSError as error:
        if error.errno in _BUSY:
            return False
        raise
    return True


def _is_same(descriptor: int, path: Path) -> bool:
    """Return whether the open file is the one that the path names now."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock_now(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # other processes can read what is before it
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock_now(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
