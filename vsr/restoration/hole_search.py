"""Holes found without a mask: burns, tears and splices that last for some frames.

A frame is compared with frames before and after the gap, each moved half-way along the motion
between these two, so that the flow never passes through the hole. A hole is where both agree with
each other and not with the frame, where the frame shows nothing (one tone, as film that burnt or
tore off), has a sharp edge, and where neither of them has the same thing beside it, as of balls.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from vsr.restoration.holes import Mask
from vsr.restoration.images import Image, Luma, as_bytes, luma_of, reduced, sampled
from vsr.restoration.neighbours import Flow, flows_between, is_inside
from vsr.restoration.shot_window import drop_before, drop_pairs_before

SPANS = (2, 3, 5, 9)
"""Frames from one side of a gap to the other: gaps of up to 1, 2, 4 and 8 frames."""
FOUND_WITHIN = SPANS[-1] - 1
"""Frames to either side that tell the holes of a frame."""
_SIDE = 320
"""Longer side of the frames in which holes are looked for."""
_LEAST = 0.12
"""Smallest difference to both sides, of white."""
_AGREE = 0.25
"""Largest difference of the sides to each other, and around the hole, as a share of that."""
_SMALLEST, _LARGEST = 0.0005, 0.3
"""Sizes of a hole, as shares of the frame."""
_SMALLEST_OF_ONE = 0.01
"""The smallest one of a single frame, which is dust below that."""
_BLACK, _WHITE = 0.06, 0.92
_EVEN = 0.02
"""Deviation in 5x5 pixels of places that show nothing."""
_MOSTLY = 0.8
_TWICE = 0.3
"""Share of a hole that both sides must show; a camera that pans leaves some of it to one."""
_SAME = 0.3
"""A place has the tone of a hole up to this share of the hole's difference."""
_SEEN, _SEEN_AROUND = 0.7, 0.5
"""A thing is seen elsewhere if so much of its shape has its tone there, and no more around it."""
_SEARCH = 48
"""Pixels beside a hole in which the same thing is looked for."""
_PAD = 8
_CROSS = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
_EDGE, _RING = (cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)) for side in (5, 9))


@dataclass(frozen=True, slots=True)
class Expected:
    """A frame as two others tell it: their mean, or the one that is not out of frame."""

    luma: Luma
    disagreement: Luma
    """Difference of the two, 0 where one is out of the frame."""
    known: Mask
    known_twice: Mask


@dataclass(slots=True)
class HoleSearch:
    """Finds the holes of a shot's frames; holds small frames and the motion between them."""

    _small: dict[int, Luma] = field(default_factory=dict[int, Luma])
    _flows: dict[tuple[int, int], tuple[Flow, Flow]] = field(
        default_factory=dict[tuple[int, int], tuple[Flow, Flow]]
    )
    _size: tuple[int, int] = (0, 0)

    def add(self, number: int, image: Image) -> None:
        """Add the next frame of the shot."""
        self._size = (image.shape[0], image.shape[1])
        small = as_bytes(reduced(luma_of(image), _SIDE))
        self._small[number] = np.asarray(cv2.medianBlur(small, 3), np.float32) / np.float32(255)

    def holes_of(self, number: int) -> Mask | None:
        """Return the lost places of a frame by the frames added so far; None where it has none."""
        shown = self._small[number]
        even = _is_even(shown)
        found = np.zeros(shown.shape, bool)
        if even.mean() < _SMALLEST:
            return None
        for before, after in self._pairs(number):
            expected = self._at(number, before, after)
            smallest = _SMALLEST_OF_ONE if after - before == SPANS[0] else _SMALLEST
            others = [self._small[before], self._small[after]]
            found |= _lost(shown, even, expected, others, smallest)
        return self._enlarged(found) if found.any() else None

    def forget(self, oldest: int) -> None:
        """Drop the frames before `oldest`."""
        drop_before(oldest, self._small)
        drop_pairs_before(oldest, self._flows)

    def _pairs(self, number: int) -> Iterator[tuple[int, int]]:
        """Yield pairs of frames with the frame between them, the nearest pairs first."""
        for span in SPANS:
            for before in range(number - span + 1, number):
                if before in self._small and before + span in self._small:
                    yield before, before + span

    def _at(self, number: int, before: int, after: int) -> Expected:
        """Return what two frames show, moved to the place of a frame between them."""
        if (before, after) not in self._flows:
            self._flows[before, after] = flows_between(self._small[before], self._small[after])
        there, back = self._flows[before, after]
        share = np.float32((number - before) / (after - before))
        to_before = -share * sampled(there, share * back)
        to_after = (1 - share) * sampled(there, to_before)
        sides = [
            (sampled(self._small[other], flow), is_inside(flow))
            for other, flow in ((before, to_before), (after, to_after))
        ]
        return _joined(*sides)

    def _enlarged(self, mask: Mask) -> Mask:
        h, w = self._size
        soft = cv2.dilate(mask.astype(np.float32), _CROSS)
        return cv2.resize(soft, (w, h), interpolation=cv2.INTER_LINEAR) > 0.3


def _joined(before: tuple[Luma, Mask], after: tuple[Luma, Mask]) -> Expected:
    (first, has_first), (second, has_second) = before, after
    twice = has_first & has_second
    luma = np.where(twice, (first + second) / 2, np.where(has_first, first, second))
    return Expected(
        luma=luma.astype(np.float32),
        disagreement=np.where(twice, np.abs(first - second), 0).astype(np.float32),
        known=has_first | has_second,
        known_twice=twice,
    )


def _is_even(shown: Luma) -> Mask:
    """Return the places that show one tone."""
    mean = cv2.blur(shown, (5, 5))
    variance = cv2.blur(shown * shown, (5, 5)) - mean * mean
    even = variance < _EVEN**2
    return even | (shown < _BLACK / 2) | (shown > (1 + _WHITE) / 2)


def _lost(shown: Luma, even: Mask, expected: Expected, others: list[Luma], smallest: float) -> Mask:
    """Return the holes of a frame that the frames of one pair tell."""
    apart = np.abs(shown - expected.luma) * expected.known
    differs = (apart > _LEAST) & (expected.disagreement < _AGREE * apart)
    found = np.zeros(shown.shape, bool)
    if not _SMALLEST / 2 < (differs & even).mean() <= 2 * _LARGEST:
        return found
    opened = cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_OPEN, _CROSS)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened)
    for number in range(1, count):
        if not smallest <= stats[number][cv2.CC_STAT_AREA] / shown.size <= _LARGEST:
            continue
        hole = np.asarray(labels == number)
        if _is_hole(hole, shown, even, apart, expected) and not any(
            _is_beside(hole, shown, apart, other) for other in others
        ):
            found |= hole
    return found


def _is_hole(hole: Mask, shown: Luma, even: Mask, apart: Luma, expected: Expected) -> bool:
    """Return True for a region that shows nothing, inside a sharp edge, where something was."""
    inner = cv2.erode(hole.astype(np.uint8), _EDGE).astype(bool)
    if inner.sum() < 0.2 * hole.sum() or even[inner].mean() < _MOSTLY:
        return False
    if expected.known_twice[hole].mean() < _TWICE:
        return False
    ring = _ring_of(hole) & expected.known
    if not ring.any() or apart[ring].mean() > _AGREE * apart[hole].mean():
        return False
    tone = float(np.median(shown[inner]))
    had_detail = _is_even(expected.luma)[inner].mean() < 0.5
    return bool(had_detail or not _BLACK < tone < _WHITE)


def _ring_of(hole: Mask) -> Mask:
    """Return the surroundings of a hole, but for its soft edge."""
    near = cv2.dilate(hole.astype(np.uint8), _EDGE)
    return (cv2.dilate(near, _RING) > near).astype(bool)


def _is_beside(hole: Mask, shown: Luma, apart: Luma, other: Luma) -> bool:
    """Return True if another frame has the hole's shape and tone at a place near by."""
    tone = float(np.median(shown[hole]))
    depth = float(apart[hole].mean())
    alike = (np.abs(other - tone) < _SAME * depth).astype(np.float32)
    x, y, w, h = cv2.boundingRect(hole.astype(np.uint8))
    shape = np.pad(hole[y : y + h, x : x + w], _PAD)
    area = alike[max(0, y - _SEARCH) : y + h + _SEARCH, max(0, x - _SEARCH) : x + w + _SEARCH]
    area = np.pad(area, _PAD, mode="edge")
    inside, around = (_coverage(area, part) for part in (shape, _ring_of(shape)))
    return bool(((inside > _SEEN) & (around < _SEEN_AROUND)).any())


def _coverage(area: NDArray[np.float32], part: Mask) -> NDArray[np.float32]:
    """Return the share of a part that is covered, for the part at each place of the area."""
    weights = part.astype(np.float32) / np.float32(max(1, part.sum()))
    return np.asarray(
        cv2.filter2D(area, cv2.CV_32F, weights, borderType=cv2.BORDER_CONSTANT), np.float32
    )
