"""A shot on its way through a stage: frames are held for as long as others look at them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from vsr.video.reading.reader import Frame


@dataclass(slots=True)
class ShotWindow(ABC):
    """Takes the frames of one shot one by one, and gives each changed when it has seen enough."""

    _frames: dict[int, Frame] = field(default_factory=dict[int, Frame], init=False)
    """The frames that are held, by their numbers in the shot."""
    _count: int = field(default=0, init=False)
    """Frames that have come, of which `_done` are changed."""
    _done: int = field(default=0, init=False)

    def push(self, frame: Frame) -> list[Frame]:
        """Add the next frame, and return those that are done by now."""
        self._frames[self._count] = frame
        self._count += 1
        if self._count > 1:
            self._look(self._count - 2, frame)
        return self._until(self._count - self._reach(frame))

    def flush(self) -> list[Frame]:
        """Return the remaining frames; the shot has no more."""
        if self._count:
            self._look(self._count - 1, None)
        return self._until(self._count)

    @abstractmethod
    def _reach(self, frame: Frame) -> int:
        """Return how many frames come before one is changed, counted from itself."""

    @abstractmethod
    def _changed(self, number: int) -> Frame:
        """Return a frame changed."""

    @abstractmethod
    def _forget(self) -> None:
        """Drop all that no later frame can ask for."""

    def _look(self, number: int, following: Frame | None) -> None:
        """Find what must be known of a frame when the one after it comes; None: it is the last."""
        del number, following  # nothing, in most stages

    def _around(self, number: int, reach: int) -> range:
        """Return the numbers of the frames that have come, within `reach` of one."""
        return range(max(0, number - reach), min(self._count, number + reach + 1))

    def _until(self, end: int) -> list[Frame]:
        ready: list[Frame] = []
        while self._done < end:
            ready.append(self._changed(self._done))
            self._done += 1
            self._forget()
        return ready


def drop_before(oldest: int, *facts: dict[int, Any]) -> None:
    """Drop the facts of frames before `oldest`."""
    for known in facts:
        for number in [number for number in known if number < oldest]:
            del known[number]


def drop_pairs_before(oldest: int, known: dict[tuple[int, int], Any]) -> None:
    """Drop what is known of pairs with a frame before `oldest`."""
    for pair in [pair for pair in known if min(pair) < oldest]:
        del known[pair]
