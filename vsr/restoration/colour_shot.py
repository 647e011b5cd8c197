"""One shot on its way through the colouring: its frames in memory, its references, their flow."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from vsr.models.flow_estimators import DisFlow
from vsr.propagation.far_flow import FarFlow, Step
from vsr.restoration.chroma import chroma_of, coloured
from vsr.restoration.colour import Reference, Way, carried, small_frame
from vsr.restoration.images import as_image, as_pixels, luma_of
from vsr.restoration.plan import frames_ahead
from vsr.restoration.references import ColourReferences
from vsr.restoration.shot_window import ShotWindow, drop_before
from vsr.video.reading.reader import Frame

_log = logging.getLogger(__name__)

_LOST = 0.3
"""Share of a picture without carried colours from which on a frame wants a reference."""


@dataclass(slots=True)
class ShotColour(ShotWindow):
    """Colours the frames of one shot as they come; None for `needed_from` wants none of them.

    A reference is carried on to the next one, and back to the one before, at most `frames_ahead`
    of them. The flow from it is followed frame by frame, so that frames before `needed_from` are
    looked at too: the result does not depend on where work begins.
    """

    references: ColourReferences
    first_frame: int
    """The number of its first frame in the film."""
    strength: float = 1.0
    needed_from: int | None = 0
    _references: dict[int, Reference] = field(default_factory=dict)
    _flow: DisFlow = field(default_factory=DisFlow)
    _onward: FarFlow | None = None
    _last: Tensor | None = None
    """The small frame to which `_onward` leads."""
    _back: dict[int, Way] = field(default_factory=dict)
    """The ways to the next reference, of the frames before it."""
    _lost: dict[int, float] = field(default_factory=dict)

    def flush(self) -> list[Frame]:
        """Return the remaining frames, and log which of the shot want a reference."""
        ready = ShotWindow.flush(self)
        for line in wanting(self._lost, self.first_frame):
            _log.info("%s", line)
        return ready

    def _look(self, number: int, following: Frame | None) -> None:
        """Read the reference of a frame, if it has one; a time is that of the frame shown then."""
        frame = self._frames[number]
        chroma = self.references.chroma(frame, self.first_frame + number, following)
        if chroma is not None and self.needed_from is not None:
            luma = luma_of(as_image(frame.pixels))
            self._references[number] = Reference.of(number, luma, chroma)

    def _reach(self, frame: Frame) -> int:
        return 1 + frames_ahead(frame.pixels.nbytes)

    def _forget(self) -> None:
        drop_before(self._done, self._frames)

    @torch.no_grad()
    def _changed(self, number: int) -> Frame:
        frame = self._frames[number]
        if self._is_skipped(number):
            return frame
        image = as_image(frame.pixels)
        luma = luma_of(image)
        small = small_frame(luma)
        ways = self._ways(number, small)
        if self.needed_from is not None and number < self.needed_from:
            return frame
        if not ways:
            self._lost[number] = 1.0
            return frame
        found = carried(luma, small, ways)
        self._lost[number] = found.lost
        own = chroma_of(image)
        chroma = own + np.float32(self.strength) * (found.chroma - own)
        return replace(frame, pixels=as_pixels(coloured(luma, chroma), frame.pixels))

    def _is_skipped(self, number: int) -> bool:
        """Return True for a frame on which nothing that is wanted depends."""
        last = self.needed_from
        return last is None or any(number < other <= last for other in self._references)

    def _ways(self, number: int, small: Tensor) -> list[Way]:
        """Return the ways to the nearest reference before the frame and to that after it."""
        if number in self._references:
            self._references = {n: one for n, one in self._references.items() if n >= number}
            self._back = {}
            self._onward, self._last = FarFlow.at(small), small
            return [Way.of(self._references[number], self._onward, 1.0)]
        if self._onward is not None and self._last is not None:
            step = Step.between(self._last, small, self._flow)
            self._onward, self._last = self._onward.next(small, step, self._flow), small
        later = min((n for n in self._references if n > number), default=None)
        if later is not None and number not in self._back:
            self._back = self._ways_back(number, later)
        return self._shared(number, later)

    def _shared(self, number: int, later: int | None) -> list[Way]:
        """Return both ways with their shares: that of the later reference rises towards it."""
        before = [one for n, one in self._references.items() if n <= number]
        after = [] if later is None else [self._back.pop(number)]
        if not before or self._onward is None:
            return after
        rising = 0.0 if later is None else self._rising(before[-1].number, number, later)
        onward = Way.of(before[-1], self._onward, 1 - rising)
        return [onward, *(replace(way, share=rising) for way in after)]

    def _rising(self, earlier: int, number: int, later: int) -> float:
        span = min(later - earlier, frames_ahead(self._frames[number].pixels.nbytes))
        return max(0.0, 1 - (later - number) / span)

    def _ways_back(self, first: int, later: int) -> dict[int, Way]:
        """Return the ways from the frames `first` to the one before `later` to that reference."""
        last, ways = self._small(later), dict[int, Way]()
        flow = FarFlow.at(last)
        for number in range(later - 1, first - 1, -1):
            small = self._small(number)
            flow, last = flow.next(small, Step.between(last, small, self._flow), self._flow), small
            ways[number] = Way(
                self._references[later], flow.there.half(), flow.confidence.half(), 1.0
            )
        return ways

    def _small(self, number: int) -> Tensor:
        return small_frame(luma_of(as_image(self._frames[number].pixels)))


def wanting(lost: dict[int, float], first_frame: int) -> list[str]:
    """Return lines on the frames of a shot that want a reference, by their numbers in the film."""
    runs: list[list[int]] = []
    for number in sorted(n for n, share in lost.items() if share >= _LOST):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return [_line(run, lost, first_frame) for run in runs]


def _line(run: Sequence[int], lost: dict[int, float], first_frame: int) -> str:
    first, last = run[0] + first_frame, run[-1] + first_frame
    share = sum(lost[number] for number in run) / len(run)
    worst = max(run, key=lambda number: (lost[number], -number)) + first_frame
    frames = f"frame {first} wants" if first == last else f"frames {first} to {last} want"
    if share == 1:
        return f"{frames} a colour reference: none is near in the shot, and they stay grey"
    return (
        f"{frames} a colour reference, best of frame {worst}: {share:.0%} of the picture has the "
        "colours of like tones nearby"
    )
