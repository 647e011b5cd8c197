"""A process that a library holds ends all the same after Ctrl-C or SIGTERM."""

import signal
import subprocess
import sys
import time

import pytest

HELD = """
import ctypes, os, signal, sys
from vsr.runtime.interrupts import ended_after
signal.signal(signal.SIGTERM, signal.default_int_handler)
try:
    with ended_after(0.5, lambda: os._exit(77)):
        print("begun", flush=True)
        {work}
except KeyboardInterrupt:
    sys.exit(130)
"""
LOCKED_TWICE = (
    "lock = ctypes.create_string_buffer(64); system = ctypes.CDLL(None); "
    "system.pthread_mutex_lock(lock); system.pthread_mutex_lock(lock)"
)
"""The second call waits for ever, and no signal ends it."""


def _code(work: str, number: signal.Signals) -> tuple[int, float, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HELD.format(work=work)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.5)  # until the process is inside its call
    began = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=50)
    return process.returncode, time.monotonic() - began, errors


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_library_that_waits_for_ever_does_not_keep_the_process(number: signal.Signals) -> None:
    code, seconds, errors = _code(LOCKED_TWICE, number)
    assert (code, errors) == (77, "")
    assert seconds < 2


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such signals")
def test_a_process_that_ends_in_time_ends_by_itself() -> None:
    code, seconds, errors = _code("import time; time.sleep(60)", signal.SIGINT)
    assert (code, errors) == (130, "")
    assert seconds < 2
