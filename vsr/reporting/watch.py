"""Watches films go by in step: keeps the moments that differ most, and figures over time.

Its memory does not grow with the films: a few moments, and at most `LONGEST` entries for each film
and figure.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from vsr.errors import InputError
from vsr.reporting.films import Films, Picture

LONGEST = 1024
"""The most rows of a temporal profile and the most points of a curve."""

MOMENTS = 3
"""The most moments that are kept: one of each third of the films."""

_SAMPLES = 640  # pixels across a frame at which differences are compared
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Entry = TypeVar("Entry")


@dataclass(slots=True)
class Moment:
    """A frame of each film, and the frames before it (of frame 0: those after it)."""

    number: int
    pts: int
    frames: tuple[Picture, ...]
    neighbours: tuple[Picture, ...] | None
    score: float


@dataclass(slots=True)
class Thinned(Generic[Entry]):
    """A list that keeps every `step`-th entry, so that it never has more than `LONGEST`."""

    step: int = 1
    entries: list[Entry] = field(default_factory=list)
    _seen: int = 0

    def add(self, entry: Entry) -> None:
        """Take an entry, if it is the turn of one."""
        if self._seen % self.step == 0:
            self.entries.append(entry)
        self._seen += 1
        if len(self.entries) > LONGEST:
            self.entries = self.entries[::2]
            self.step *= 2


class Watch:
    """Collects what the page shows, while `films` are read once from beginning to end.

    `wanted` is the number of the only frame to keep; None: the frames that differ most from the
    first film. `row` is the row of pixels of the profiles.
    """

    def __init__(self, films: Films, *, row: int, wanted: int | None = None) -> None:
        self._films = films
        self._wanted = wanted
        self.row = row
        self._moments: dict[int, Moment] = {}
        self.count = 0
        self.profiles: list[Thinned[Picture]] = [Thinned() for _ in films.films]
        self.brightness: list[Thinned[float]] = [Thinned() for _ in films.films]
        self.differences: list[Thinned[float]] = [Thinned() for _ in films.films[1:]]

    def frames(self) -> Iterator[tuple[int, tuple[Picture, ...]]]:
        """Yield pts and pictures as `Films.frames` does; InputError if `wanted` does not exist."""
        before: tuple[Picture, ...] | None = None
        for number, (pts, frames) in enumerate(self._films.frames()):
            self.count = number + 1
            score = self._note(frames)
            for moment in self._moments.values():
                if moment.neighbours is None:
                    moment.neighbours = frames
            self._keep(Moment(number, pts, frames, before, score))
            before = frames
            yield pts, frames
        if not self._moments:
            raise InputError(
                f"frame {self._wanted} does not exist: the films have {self.count} frames"
            )

    def see_all(self) -> None:
        """Take note of all frames, which nobody else needs."""
        deque(self.frames(), maxlen=0)

    @property
    def moments(self) -> list[Moment]:
        """The moments kept, in the order of time."""
        return sorted(self._moments.values(), key=lambda moment: moment.number)

    @property
    def main(self) -> Moment:
        """The moment that differs most."""
        return max(self.moments, key=lambda moment: moment.score)

    def _note(self, frames: Sequence[Picture]) -> float:
        """Add to profiles and curves; return the largest difference from the first film."""
        step = max(1, frames[0].shape[1] // _SAMPLES)
        small = [frame[::step, ::step].astype(np.float32) for frame in frames]
        scores = [float(np.abs(other - small[0]).mean()) for other in small[1:]]
        for kept, frame in zip(self.profiles, frames, strict=True):
            kept.add(frame[self.row].copy())
        for kept, frame in zip(self.brightness, small, strict=True):
            kept.add(float((frame @ _LUMA).mean()))
        for kept, score in zip(self.differences, scores, strict=True):
            kept.add(score)
        return max(scores)

    def _keep(self, moment: Moment) -> None:
        if self._wanted is not None:
            if moment.number == self._wanted:
                self._moments[0] = moment
            return
        third = self._third(moment.number)
        best = self._moments.get(third)
        if best is None or moment.score > best.score:
            self._moments[third] = moment

    def _third(self, number: int) -> int:
        """The third of the films that a frame lies in, as far as the container tells."""
        counts = [info.frame_count for info in self._films.infos if info.frame_count]
        return min(MOMENTS - 1, MOMENTS * number // min(counts)) if counts else 0
