"""The traits of a shot that decide how it is computed: black bars, real detail, cleanness."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vsr.video.pixels import Pixels
from vsr.video.reading.bars import NO_BARS, Bars, find_bars, is_in_bars, is_lit
from vsr.video.reading.cleanness import are_clean
from vsr.video.reading.detail import reduction
from vsr.video.reading.reader import Frame

_LOOK = 6
"""Frames at the beginning of a shot that are looked at."""
_EVERY = 2
"""Of these, every second one is looked at for its detail; motion blur is rarely in all."""
_WATCH = 4
"""Of a shot that is reduced, every fourth frame is looked at for finer detail, as a title."""
_STILL = 0.3
"""Mean difference in levels below which the frames of a shot are one still picture."""


@dataclass(frozen=True, slots=True)
class ShotTraits:
    """The black bars of a shot, and the factor by which its frames can lose no detail."""

    bars: Bars = NO_BARS
    reduction: float = 1.0
    clean: bool = False
    """True if its frames lost nothing but size."""


UNKNOWN = ShotTraits()
"""The traits of a shot that was not looked at."""


@dataclass(frozen=True, slots=True)
class MarkedFrame:
    """A frame, True if it starts a shot, and the traits of its shot."""

    frame: Frame
    starts_shot: bool
    traits: ShotTraits = UNKNOWN


@dataclass(frozen=True, slots=True)
class ShotAnalysis:
    """The traits that are looked for."""

    bars: bool = False
    detail: bool = False
    clean: bool = False

    def __bool__(self) -> bool:
        return self.bars or self.detail or self.clean

    def traits(self, frames: Sequence[Pixels]) -> ShotTraits:
        """Return the traits of a shot that begins with these frames.

        A still picture is not reduced: there is one to look at, and no time to gain.
        """
        bars = find_bars(frames) if self.bars else NO_BARS
        rows, columns = bars.inner(*frames[0].shape[:2])
        pictures = [frame[rows, columns] for frame in frames[::_EVERY]]
        clean = self.clean and are_clean(pictures)
        if not self.detail or _is_still(frames):
            return ShotTraits(bars, clean=clean)
        return ShotTraits(bars, reduction(pictures), clean)


NO_ANALYSIS = ShotAnalysis()


class TraitMarker:
    """Finds the traits of each shot as its frames pass, and starts another shot where they change.

    The traits of a shot come from its first six frames alone, which are held until they are all
    there: what comes later, the length of clips and the point where a run resumes change nothing.
    So that nothing is lost when later frames differ, each is compared with the traits. One that
    shows something in a bar, that is much sharper, or the first bright one after a dark beginning
    has the next six frames looked at again, and begins a shot of its own if they differ.
    """

    def __init__(self, analysis: ShotAnalysis) -> None:
        self._analysis = analysis
        self._traits = UNKNOWN
        self._held: list[MarkedFrame] = []
        self._is_looking = False
        self._is_dark = False
        self._begins = True
        self._count = 0

    def push(self, frame: Frame, *, starts_shot: bool) -> list[MarkedFrame]:
        """Take the next frame, and return those whose traits are known."""
        if not self._analysis:
            return [MarkedFrame(frame, starts_shot)]
        ready = self.flush() if starts_shot else []
        starts_shot, self._begins = starts_shot or self._begins, False
        self._count = 0 if starts_shot else self._count + 1
        if not self._is_looking and not starts_shot and not self._differs(frame.pixels):
            return [*ready, MarkedFrame(frame, False, self._traits)]
        self._is_looking = True
        self._held.append(MarkedFrame(frame, starts_shot))
        return [*ready, *(self._decided() if len(self._held) == _LOOK else [])]

    def flush(self) -> list[MarkedFrame]:
        """Return the remaining frames; the next one starts a shot."""
        self._begins = True
        return self._decided() if self._held else []

    def _decided(self) -> list[MarkedFrame]:
        held, self._held = self._held, []
        pictures = [marked.frame.pixels for marked in held]
        traits = self._analysis.traits(pictures)
        is_new = held[0].starts_shot or traits != self._traits
        self._is_looking = False
        self._is_dark = not any(map(is_lit, pictures))
        self._traits = traits
        return [MarkedFrame(one.frame, is_new and one is held[0], traits) for one in held]

    def _differs(self, pixels: Pixels) -> bool:
        """Return True if a later frame of the shot seems to have other traits."""
        traits = self._traits
        if self._is_dark:
            return is_lit(pixels)
        if traits.bars and is_in_bars(pixels, traits.bars):
            return True
        if traits.reduction == 1 or self._count % _WATCH:
            return False
        return reduction([pixels[traits.bars.inner(*pixels.shape[:2])]]) < traits.reduction


def _is_still(frames: Sequence[Pixels]) -> bool:
    levels = np.iinfo(frames[0].dtype).max / 255
    change = np.abs(frames[0].astype(np.int32) - frames[-1]).mean() / levels
    return bool(change < _STILL)
