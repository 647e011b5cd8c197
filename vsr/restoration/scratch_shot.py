"""One shot on its way through the repair of scratches: the frames in memory, and their lines."""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from vsr.restoration.images import Luma, as_image, as_pixels, luma_of, reduced, sampled
from vsr.restoration.neighbours import Flow, chained, flows_between
from vsr.restoration.plan import COMPARED, TRACK_REACH
from vsr.restoration.scratch_bands import Bands
from vsr.restoration.scratches import LEAST_NEW, Line, lines_of, merged, novelty, persists
from vsr.restoration.shot_window import ShotWindow, drop_before
from vsr.video.pixels import Pixels
from vsr.video.reading.reader import Frame

_SIDE = 320
"""Longer side of the pictures between which the motion under the lines is searched."""
_MOVED = 3.0
"""Pixels that half of the picture moves sideways to a frame that shows what is under a line."""


@dataclass(slots=True)
class ShotScratches(ShotWindow):
    """Repairs the scratches of one shot's frames as they come; None for `needed_from` wants none.

    Each frame is a function of the frames within `COMPARED + TRACK_REACH` around it.
    """

    strength: float = 1.0
    needed_from: int | None = 0
    seen: int = 0
    changed: int = 0
    _lumas: dict[int, Luma] = field(default_factory=dict)
    _flows: dict[int, tuple[Flow, Flow]] = field(default_factory=dict)
    _lines: dict[int, list[Line]] = field(default_factory=dict)

    def scratches(self, number: int) -> list[tuple[Line, Bands]]:
        """Return the scratches of a frame, with the columns around them."""
        window = self._around(number, TRACK_REACH)
        lines = [
            line
            for line in self._lines_of(number)
            if persists(line, [self._lines_of(n) for n in window], number - window.start)
        ]
        if not lines:
            return []
        pixels, others = self._frames[number].pixels, self._others(number)
        bands = [(line, Bands.of(line, pixels, others)) for line in lines]
        return [(line, around) for line, around in bands if around.is_of_film()]

    def _reach(self, frame: Frame) -> int:
        return COMPARED + TRACK_REACH

    def _changed(self, number: int) -> Frame:
        frame = self._frames[number]
        if self.needed_from is None or number < self.needed_from:
            return frame
        self.seen += 1
        scratches = self.scratches(number)
        if not scratches:
            return frame
        image = as_image(frame.pixels)
        for _, around in scratches:
            around.subtract(image, self.strength)
        self.changed += 1
        return replace(frame, pixels=as_pixels(image, frame.pixels))

    def _forget(self) -> None:
        oldest = self._done - COMPARED - TRACK_REACH
        drop_before(oldest, self._frames, self._lumas, self._flows, self._lines)

    def _luma(self, number: int) -> Luma:
        if number not in self._lumas:
            self._lumas[number] = luma_of(as_image(self._frames[number].pixels))
        return self._lumas[number]

    def _lines_of(self, number: int) -> list[Line]:
        """Return the lines of a frame, first those that its neighbours do not show."""
        if number not in self._lines:
            luma = self._luma(number)
            lines = lines_of(luma)
            compared = self._compared(number)
            if len(compared) == 2:
                aligned = [sampled(self._luma(n), self._flow(number, n)) for n in compared]
                lines = merged(lines_of(novelty(luma, aligned), least=LEAST_NEW), lines)
            self._lines[number] = lines
        return self._lines[number]

    def _compared(self, number: int) -> list[int]:
        """Return two frames in which the scene is elsewhere, if there are so many.

        They are the nearest ones on both sides to which the picture moves far enough.
        """
        for distance in range(1, COMPARED + 1):
            pair = [n for n in (number - distance, number + distance) if 0 <= n < self._count]
            if len(pair) < 2:
                break
            motion = np.abs(self._small_flow(number, pair[0])[..., 0])
            if np.median(motion) * self._scale(number) >= _MOVED or distance == COMPARED:
                return pair
        ends = self._around(number, COMPARED)
        return [n for n in (ends[0], ends[-1], ends[len(ends) // 2]) if n != number][:2]

    def _others(self, number: int) -> list[tuple[Pixels, Flow]]:
        """Return the frames around one, with the flow to them of small pictures."""
        return [
            (self._frames[n].pixels, self._small_flow(number, n))
            for n in self._around(number, COMPARED)
            if n != number
        ]

    def _scale(self, number: int) -> float:
        return max(1.0, max(self._frames[number].pixels.shape[:2]) / _SIDE)

    def _flow(self, number: int, other: int) -> Flow:
        """Return the flow from a frame to another at the size of the frame."""
        h, w = self._frames[number].pixels.shape[:2]
        small = self._small_flow(number, other)
        scale = np.array([w / small.shape[1], h / small.shape[0]], np.float32)
        large = cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)
        return np.asarray(large, np.float32) * scale

    def _small_flow(self, number: int, other: int) -> Flow:
        return chained(number, other, self._steps)

    def _steps(self, pair: int) -> tuple[Flow, Flow]:
        if pair not in self._flows:
            lumas = (reduced(self._luma(n), _SIDE) for n in (pair, pair + 1))
            self._flows[pair] = flows_between(*lumas)
        return self._flows[pair]
