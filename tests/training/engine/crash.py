"""Kill a forked process at one of the steps by which it changes files."""

import os
import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from vsr.training.engine import checkpoint

CALLS = ("fsync", "link", "mkdir", "rename", "replace", "rmdir", "unlink")
CRASHED = 77
_PATIENCE = 120


class CrashPoints:
    """Counts the changes of a process to its files and ends it at number `at`, as a kill would."""

    def __init__(self, at: int) -> None:
        self.at, self.reached = at, 0

    def install(self) -> None:
        for name in CALLS:
            setattr(os, name, self._before(getattr(os, name)))
        checkpoint.save_file = self._torn(safetensors.torch.save_file, place=1)
        torch.save = self._torn(torch.save, place=1)
        Path.write_text = self._torn(Path.write_text, place=0)

    def point(self) -> None:
        self.reached += 1
        if self.reached == self.at:
            os._exit(CRASHED)

    def _before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            self.point()
            return call(*args, **options)

        return counted

    def _torn(self, write: Callable[..., Any], *, place: int) -> Callable[..., Any]:
        """Points before the file is written, after half of it, and after all of it."""

        def counted(*args: Any, **options: Any) -> Any:
            self.point()
            done = write(*args, **options)
            self.reached += 1
            if self.reached == self.at:
                os.truncate(args[place], Path(args[place]).stat().st_size // 2)
                os._exit(CRASHED)
            self.point()
            return done

        return counted


def crashes(
    prepare: Callable[[int], Path], work: Callable[[Path], None], *, every: int = 1
) -> Iterator[Path]:
    """Do the work in a new folder for each crash point, and give the folder after the crash.

    Ends when the work ran to its end.
    """
    for number in count(1, every):
        folder = prepare(number)
        child = os.fork()
        if child == 0:
            code = 1
            signal.alarm(_PATIENCE)  # a child that hangs fails the test
            try:
                CrashPoints(number).install()
                work(folder)
                code = 0
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            return
        assert code == CRASHED, f"point {number}: the work failed"
        yield folder
