"""A batch's side of the process that upscales its films: it is started, asked, and replaced.

A decoder that crashes, or the system when memory runs out, ends that process and not the batch.
"""

import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from vsr.errors import DeviceError, InputError, VsrError
from vsr.jobs.films import BatchFilm
from vsr.jobs.progress import Meter, ShowProgress, metered
from vsr.jobs.sent_progress import Advanced, Reached
from vsr.jobs.supervision.messages import (
    Answer,
    Done,
    Failed,
    Interrupted,
    Progress,
    ProgressBegan,
    ProgressEnded,
    Request,
    Setup,
    receive,
    send,
)
from vsr.runtime.child_processes import end_in_words, import_path, signals_held
from vsr.runtime.executor_worker import Logged, log_again

_log = logging.getLogger(__name__)

_CODE = """
import signal, sys
sys.path[:] = {path!r}
signal.signal(signal.SIGINT, signal.SIG_DFL)
if hasattr(signal, "pthread_sigmask"):
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
from vsr.jobs.supervision.film_server import serve
serve()
"""
"""The program of the process: it imports what this one does, and Ctrl-C prints no trace."""

_END_SECONDS = 5.0
"""An idle process ends at once; one that a library holds is killed after this time."""


class FilmProcess:
    """Upscales films in another process, which loads the model once. A context manager.

    The process starts with the first film, and again with the film after a crash.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def upscale(self, film: BatchFilm, progress: ShowProgress) -> Done:
        """Upscale a film; see `vsr.jobs.upscale.upscale`, whose errors are raised here.

        Raises DeviceError if the process was killed, and InputError if it crashed.
        """
        process = self._started()
        is_answered = False
        try:
            with suppress(BrokenPipeError):  # it has died: there is no answer either
                send(_stdin(process), film)
            answer = _answer(process, progress)
            is_answered = answer is not None
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_interrupt(process)) from None
        finally:
            if not is_answered:
                self._end()
        match answer:
            case Done():
                return answer
            case Failed(error):
                raise error
            case Interrupted(text):
                self._end()
                raise KeyboardInterrupt(text)
            case None:
                raise _crash(process.returncode, film.source)

    def _started(self) -> subprocess.Popen[bytes]:
        """Return the process, which is started if it does not run."""
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._end()
        command = [sys.executable, "-c", _CODE.format(path=import_path())]
        with signals_held():
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._process = process
        _log.debug("films are upscaled by process %d", process.pid)
        with suppress(BrokenPipeError):
            send(_stdin(process), self._setup)
        return process

    def _end(self) -> None:
        """End the process, if it runs: it does so when its input is closed, whatever it does."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(BrokenPipeError):  # of a message that it did not read
            _stdin(process).close()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        finally:
            _stdout(process).close()


def _answer(process: subprocess.Popen[bytes], progress: ShowProgress) -> Answer | None:
    """Pass log and progress on until the film has ended; None if the process has ended before."""
    advance = Meter(None)
    with ExitStack() as shown:
        for message in _replies(process):
            match message:
                case ProgressBegan(total):
                    advance = metered(shown.enter_context(progress(total)))
                case Advanced(frames, is_new):
                    advance(frames, is_new=is_new)
                case Reached(frames):
                    advance.reach(frames)
                case ProgressEnded():
                    shown.close()
                case Done() | Failed() | Interrupted():
                    return message
    return None


def _interrupt(process: subprocess.Popen[bytes]) -> str:
    """Interrupt the process, and return what it says is kept; a terminal has told it already."""
    if os.name != "nt":
        process.send_signal(signal.SIGINT)
    answers = (message for message in _replies(process) if isinstance(message, Answer))
    answer = next(answers, None)
    return answer.text if isinstance(answer, Interrupted) else ""


def _replies(process: subprocess.Popen[bytes]) -> Iterator[Progress | Answer]:
    """Yield what the process says until it ends, and pass its lines of the log on."""
    while (message := receive(_stdout(process))) is not None:
        assert not isinstance(message, Request), message
        if isinstance(message, Logged):
            log_again(message.record)
        else:
            yield message


def _crash(code: int, source: Path) -> VsrError | KeyboardInterrupt:
    """Return the error for a process that has ended with a code (negative: a signal)."""
    if -code in (signal.SIGINT, signal.SIGTERM):  # before it could say so itself
        return KeyboardInterrupt()
    if os.name != "nt" and -code == signal.SIGKILL:
        return DeviceError(
            "the process that upscaled it was killed (SIGKILL), as the system does when memory "
            "runs out: end other programs, or give a smaller --max-clip-frames, and run the same "
            "command again; finished clips are kept"
        )
    return InputError(
        f"a decoder or another library crashed at it ({_end_in_words(code)}): convert the film, as "
        f"with ffmpeg -i {shlex.quote(source.name)} -c:v ffv1 -c:a copy converted.mkv, and run the "
        "same command again; finished clips are kept"
    )


def _end_in_words(code: int) -> str:
    end = end_in_words(code)
    meaning = signal.strsignal(-code) if code < 0 else None
    return f"{end}, {meaning.lower()}" if meaning else end


def _stdin(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None
    return process.stdin


def _stdout(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout
