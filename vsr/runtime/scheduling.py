"""Scheduling of threads: libraries do not get to make them real-time."""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

_THREADS = Path("/proc/self/task")


@contextmanager
def ordinary_threads() -> Generator[None]:
    """Gives the threads that a library makes real-time within the block ordinary scheduling.

    SVT-AV1, run by root, makes its threads and its caller's real-time ones: other programs of the
    machine would stand still while a film is encoded. Linux only; elsewhere nothing is changed.
    """
    before = _policies()
    try:
        yield
    finally:
        for thread, policy in _policies().items():
            if policy != before.get(thread, os.SCHED_OTHER):
                with suppress(OSError):  # it has ended, or is another's
                    os.sched_setscheduler(
                        thread, before.get(thread, os.SCHED_OTHER), os.sched_param(0)
                    )


def _policies() -> dict[int, int]:
    """Returns the scheduling policy of each thread of this process."""
    policies: dict[int, int] = {}
    if _THREADS.is_dir():
        for path in _THREADS.iterdir():
            with suppress(OSError):
                policies[int(path.name)] = os.sched_getscheduler(int(path.name))
    return policies
