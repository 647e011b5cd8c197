"""The process that upscales the films of a batch: it does as the messages on its input say.

It ends at once when its input ends, so that nothing goes on when the batch was killed.
"""

import logging
import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import IO

from vsr.jobs.films import BatchFilm
from vsr.jobs.model import ConfiguredModel
from vsr.jobs.progress import Advance
from vsr.jobs.sent_progress import SentMeter
from vsr.jobs.supervision.messages import (
    Answer,
    Done,
    Failed,
    Interrupted,
    ProgressBegan,
    ProgressEnded,
    Reply,
    Request,
    Setup,
    receive,
    send,
)
from vsr.jobs.upscale import upscale
from vsr.runtime.executor_worker import SentLog, sendable
from vsr.runtime.standard_streams import own_stdout
from vsr.runtime.timing import StageTimer


@dataclass(slots=True)
class _Replies:
    """Sends whole messages from any thread."""

    pipe: IO[bytes]
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, message: Reply) -> None:
        with self._lock:
            send(self.pipe, message)

    @contextmanager
    def show_progress(self, total: int | None) -> Generator[Advance]:
        """Let the batch show the progress; see `ShowProgress`."""
        self.send(ProgressBegan(total))
        try:
            yield SentMeter(self.send)
        finally:
            self.send(ProgressEnded())


def serve() -> None:
    """Upscale one film after the other, until the input ends or Ctrl-C or SIGTERM comes."""
    replies = _Replies(os.fdopen(own_stdout(), "wb"))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt_once)
    requests = SimpleQueue[Request]()
    threading.Thread(target=_listen, args=(requests,), name="requests", daemon=True).start()
    with suppress(KeyboardInterrupt):  # between two films: the batch has got the signal too
        setup = requests.get()
        assert isinstance(setup, Setup), setup
        logger = logging.getLogger()
        logger.addHandler(SentLog(replies.send))
        logger.setLevel(setup.log_level)
        model = ConfiguredModel(setup.config, setup.model)
        while True:
            film = requests.get()
            assert isinstance(film, BatchFilm), film
            reply = _upscaled(film, setup, model, replies)
            replies.send(reply)
            if isinstance(reply, Interrupted):
                return


def _upscaled(film: BatchFilm, setup: Setup, model: ConfiguredModel, replies: _Replies) -> Answer:
    """Upscale a film, and return how that ended."""
    timer = StageTimer()
    try:
        report = upscale(
            film.source, film.output, setup.config,
            model=model, timer=timer, ranks=setup.ranks, progress=replies.show_progress,
        )  # fmt: skip
        return Done(report, timer.seconds)
    except KeyboardInterrupt as interrupt:
        return Interrupted(str(interrupt))
    # Like the loop of the batch, which gets the error: none of a library may end the others' work.
    except Exception as error:
        return Failed(sendable(error))


def _listen(requests: "SimpleQueue[Request]") -> None:
    """Take messages while the main thread works; end the process when no more can come."""
    # Python aborts at its end if a thread reads sys.stdin.
    with open(0, "rb", closefd=False) as pipe:
        while (message := receive(pipe)) is not None:
            assert isinstance(message, Request), message
            requests.put(message)
    os._exit(0)


def _interrupt_once(*_: object) -> None:
    """Raise KeyboardInterrupt at the first signal only: a terminal and the batch both send one."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
