"""The worker's side of an executor: it makes its work once, and sends messages about each task."""

import logging
import pickle
import traceback
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from vsr.errors import InputError, in_one_line

Task = TypeVar("Task")
Result = TypeVar("Result")

Tell = Callable[[Any], None]
"""Sends a value from a running task to the process that waits for it, as for progress."""
Work = Callable[[Task, Tell], Result]
MakeWork = Callable[[], Work[Task, Result]]
"""Makes what a worker does with each of its tasks; called once in each worker, at its first."""


class WorkerBrokenError(Exception):
    """Raised by work whose process cannot go on, as when its GPU has vanished: it is replaced."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has started: the version of its vsr (None: it has none), its machine and process."""

    version: str | None
    machine: str
    process: int

    def __str__(self) -> str:
        return f"process {self.process} on {self.machine}"


@dataclass(frozen=True, slots=True)
class Told:
    """A value that a running task tells."""

    value: Any


@dataclass(frozen=True, slots=True)
class Logged:
    """A line of a worker's log."""

    record: logging.LogRecord


@dataclass(frozen=True, slots=True)
class Ended:
    """A task has ended, with a result or an error."""

    result: Any = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker has died, or cannot go on."""

    reason: str


Message = Ready | Told | Logged | Ended | Lost
Send = Callable[[Message], None]


@dataclass(frozen=True, slots=True)
class Run(Generic[Task, Result]):
    """The work of a run of tasks, and the level of its log; runs of an executor are numbered."""

    number: int
    make: MakeWork[Task, Result]
    log_level: int


class TaskRunner:
    """Runs tasks one after the other, and makes the work of a run at its first task."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._work: Work[Any, Any] | None = None

    def run(self, run: Run[Any, Any], task: Any, send: Send) -> None:
        """Run a task; the last message says how it ended. The log of this process is sent too."""
        handler, logger = SentLog(send), logging.getLogger()
        logger.setLevel(run.log_level)
        logger.addHandler(handler)
        try:
            if self._work is None or run.number != self._number:
                self._work = None  # before the next one needs its memory
                self._work, self._number = run.make(), run.number
            ended = Ended(self._work(task, lambda value: send(Told(value))))
        except WorkerBrokenError as error:
            ended = Lost(str(error))
        # The one boundary of a task: whoever waits for it gets the error.
        except Exception as error:
            ended = Ended(error=sendable(error))
        finally:
            logger.removeHandler(handler)
        send(ended)


class SentLog(logging.Handler):
    """Sends the lines of the log to another process, which writes them in its own form."""

    def __init__(self, send: Callable[[Logged], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line, as text: not all that a record holds can be sent."""
        sent = copy(record)
        sent.msg, sent.args = self.format(record), None
        sent.exc_info = sent.exc_text = sent.stack_info = None
        self._send(Logged(sent))


def log_again(record: logging.LogRecord) -> None:
    """Write a line of another process into the log of this one."""
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


def sendable(error: Exception) -> Exception:
    """Return an error that a pipe can carry, with its trace as a note for `--debug`."""
    trace = "".join(traceback.format_exception(error))
    error.add_note(trace)
    try:
        pickle.loads(pickle.dumps(error))
    except (AttributeError, LookupError, TypeError, ValueError, pickle.PickleError):
        error = InputError(in_one_line(error))
        error.add_note(trace)
    return error
