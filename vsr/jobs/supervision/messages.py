"""The messages between a batch and the process that upscales its films, through its two pipes."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

from vsr.config import UpscaleConfig
from vsr.jobs.films import BatchFilm
from vsr.jobs.resume.identity import Identity
from vsr.jobs.sent_progress import Advanced, Reached
from vsr.jobs.upscale import UpscaleReport
from vsr.runtime.executor_worker import Logged
from vsr.runtime.launcher import Ranks


@dataclass(frozen=True, slots=True)
class Setup:
    """The first message to the process: what holds for all films, and the level of its log."""

    config: UpscaleConfig
    model: Identity
    ranks: Ranks
    log_level: int


@dataclass(frozen=True, slots=True)
class ProgressBegan:
    """The work on a film begins, towards a number of frames if that is known."""

    total: int | None


@dataclass(frozen=True, slots=True)
class ProgressEnded:
    """The work on a film ends, well or not."""


@dataclass(frozen=True, slots=True)
class Done:
    """A film is done; `seconds` are those of its stages."""

    report: UpscaleReport
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Failed:
    """A film failed."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Ctrl-C or SIGTERM ended the work on a film; `text` says what is kept."""

    text: str


_UNREADABLE = (EOFError, pickle.UnpicklingError, AttributeError, ImportError, IndexError)
"""The errors that `pickle` names for data that is not whole."""

Request = Setup | BatchFilm
"""A film is to be upscaled next."""
Progress = ProgressBegan | Advanced | Reached | ProgressEnded
Answer = Done | Failed | Interrupted
"""The end of the work on a film."""
Reply = Logged | Progress | Answer


def send(pipe: IO[bytes], message: Request | Reply) -> None:
    """Write a message. Raises BrokenPipeError if nobody can read it."""
    pipe.write(pickle.dumps(message))
    pipe.flush()


def receive(pipe: IO[bytes]) -> Request | Reply | None:
    """Wait for a message; None if the other process has ended, be it within a message."""
    try:
        return pickle.load(pipe)
    except _UNREADABLE:
        return None
