"""End a process in time after Ctrl-C or SIGTERM, whatever library it is inside."""

import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def ended_after(seconds: float, end: Callable[[], None]) -> Generator[None]:
    """Call `end` if the context still runs so many seconds after SIGINT or SIGTERM.

    Python calls the handler of a signal between two of its own instructions, so a library that
    waits for ever would keep it from being called. Here another thread is told by the system, and
    calls `end`, which has to end the process. Only the main thread gets signals: in any other one
    nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    ended = threading.Event()
    before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)

    def watch() -> None:
        while number := reading.recv(1):
            if number[0] in _SIGNALS and not ended.wait(seconds):
                end()

    watcher = threading.Thread(target=watch, name="interrupts", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        ended.set()
        writing.close()
        watcher.join()
        reading.close()
