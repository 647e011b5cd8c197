"""Other processes of this machine, by their numbers."""

import time
from collections.abc import Sequence

import psutil


def wait_for_end(processes: Sequence[int], seconds: float = 20) -> None:
    """Wait until all have ended; an AssertionError names those that still run."""
    deadline = time.monotonic() + seconds
    while left := [number for number in processes if is_running(number)]:
        assert time.monotonic() < deadline, f"{left} still run"
        time.sleep(0.05)


def is_running(number: int) -> bool:
    """False for a process that has ended, though nobody has asked for its exit code yet."""
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
