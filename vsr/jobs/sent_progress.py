"""Progress that goes from the process that does the work to the one that shows it."""

from collections.abc import Callable
from dataclasses import dataclass

from vsr.jobs.progress import Meter


@dataclass(frozen=True, slots=True)
class Advanced:
    """Frames are done; see `Meter`."""

    frames: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class Reached:
    """The number of frames that the work has reached; see `Meter.reach`."""

    frames: float


class SentMeter(Meter):
    """Sends the progress, and counts nothing: the other process does."""

    __slots__ = ("_send",)

    def __init__(self, send: Callable[[Advanced | Reached], None]) -> None:
        super().__init__(None)
        self._send = send

    def __call__(self, frames: int, *, is_new: bool = True) -> None:
        """Send the frames; see Meter."""
        self._send(Advanced(frames, is_new))

    def reach(self, frames: float) -> None:
        """Send the number of frames; see Meter."""
        self._send(Reached(frames))
