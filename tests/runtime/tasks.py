"""Tasks for workers, in a module that they can import."""

import hashlib
import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from vsr.errors import InputError
from vsr.runtime.executor import ReadFile, Tell, Work


def square(number: int) -> int:
    if number < 0:
        raise InputError(f"{number} is negative")
    return number * number


def hash_of(read: ReadFile, path: Path) -> str:
    digest = hashlib.sha256()
    for piece in read(path):
        digest.update(piece)
    return digest.hexdigest()


def counting() -> Work[str, tuple[int, int]]:
    """Returns the process and the number of its tasks, and tells and logs each."""
    count = 0

    def work(name: str, tell: Tell) -> tuple[int, int]:
        nonlocal count
        count += 1
        tell(f"{name} begins")
        logging.getLogger("vsr.tests").warning("at %s", name)
        return os.getpid(), count

    return work


def dying(folder: Path, times: int) -> Work[str, str]:
    """Dies at its first tasks, so many times in all workers together."""

    def work(name: str, tell: Tell) -> str:
        del tell
        for death in range(times):
            with suppress(FileExistsError):  # two may come at once: one death each
                (folder / str(death)).touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
        return name

    return work


def noting(folder: Path) -> Callable[[str, Any], None]:
    """Writes its process and lasts for ever."""

    def work(name: str, tell: Tell) -> None:
        (folder / name).write_text(str(os.getpid()))
        tell(name)
        time.sleep(600)

    return work
