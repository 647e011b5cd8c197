"""The engine of an executor whose workers are processes of this machine."""

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import Any

from vsr import __version__
from vsr.runtime.child_processes import end_in_words, signals_held
from vsr.runtime.executor_files import ReadFile, read_file
from vsr.runtime.executor_worker import Lost, Message, Ready, Run, TaskRunner

_SPAWN = multiprocessing.get_context("spawn")  # OpenCV holds locks that a fork would leave locked


class ProcessEngine:
    """Starts processes, which import this program again; see `Engine`."""

    def __init__(self, size: int) -> None:
        self.size = size

    @property
    def read_file(self) -> ReadFile:
        """A function that reads files: the processes are on this machine; see `Engine`."""
        return read_file

    def start(self) -> "_ProcessWorker":
        """Start a worker; see `Engine`."""
        return _ProcessWorker()

    def receive(
        self, workers: Sequence["_ProcessWorker"]
    ) -> Iterator[tuple["_ProcessWorker", Message]]:
        """Wait for messages; see `Engine`."""
        by_pipe = {worker.pipe: worker for worker in workers}
        for pipe in wait(list(by_pipe)):
            worker = by_pipe[pipe]  # pyright: ignore[reportArgumentType]
            yield worker, worker.receive()

    def close(self) -> None:
        """Do nothing: each worker is ended by itself."""


class _ProcessWorker:
    def __init__(self) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs,), daemon=True)
        with signals_held():
            self._process.start()
        theirs.close()

    def send(self, run: Run[Any, Any], task: Any) -> None:
        with suppress(BrokenPipeError):  # it has died, which the next message says
            self.pipe.send((run, task))

    def receive(self) -> Message:
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            how = end_in_words(self._process.exitcode)
            return Lost(f"process {self._process.pid} died ({how})")

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _serve(pipe: "Connection[Any, Any]") -> None:
    """Run the tasks that come, until the pipe ends: then the process ends, whatever it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the executor ends its workers
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
    lock, tasks = threading.Lock(), SimpleQueue[tuple[Run[Any, Any], Any]]()

    def send(message: Message) -> None:
        with lock:
            pipe.send(message)

    def listen() -> None:
        with suppress(EOFError, OSError):
            while True:
                tasks.put(pipe.recv())
        os._exit(0)

    threading.Thread(target=listen, name="tasks", daemon=True).start()
    send(Ready(__version__, socket.gethostname(), os.getpid()))
    runner = TaskRunner()
    while True:
        runner.run(*tasks.get(), send)
