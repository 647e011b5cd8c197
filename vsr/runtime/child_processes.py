"""Processes that this one starts: a start without traces, the same imports, and their ends."""

import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def signals_held() -> Generator[None]:
    """Hold Ctrl-C and SIGTERM back, for a new process too: Python prints a trace at its start."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def import_path() -> list[str]:
    """Return the folders of imports; an empty name is the folder in which this process is."""
    return [path or str(Path.cwd()) for path in sys.path]


def end_in_words(code: int | None) -> str:
    """Return the name of the signal that ended a process (a negative code), or its exit code."""
    if code is None or code >= 0:
        return f"exit code {code}"
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
