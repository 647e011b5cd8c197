"""Black bars around the picture of a shot: letterbox and pillarbox."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vsr.video.pixels import Pixels, as_uint8

_BLACK = 24
"""Brightest luma of a bar; the chroma of the picture spills up to 20 levels into its edge rows."""
_LIT_EDGE = 0.3
"""A bar ends at a straight edge: at least this share of the next rows is brighter."""
_EDGE_ROWS = 2
_FEWEST_ROWS = 2
_UNEVEN = 4
"""Levels by which the rows of a bar may differ."""
_SMALLEST_PICTURE = 0.25
"""A picture that takes less of the height or the width is a dark scene, not a picture in bars."""
_LIT_FRAME = 0.1
"""A frame with a smaller bright share is too dark to tell bars from the scene."""
_SEEN, _SEEN_SHARE = 48, 0.001
"""Something is in a bar, as a subtitle, if this share of its pixels is brighter."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Rows and columns of black bars around a picture, and their colour."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0
    color: tuple[int, int, int] = (0, 0, 0)
    """RGB, at the depth of the frames."""

    def __bool__(self) -> bool:
        return any((self.top, self.bottom, self.left, self.right))

    def inner(self, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of the picture in a frame."""
        return slice(self.top, height - self.bottom), slice(self.left, width - self.right)


NO_BARS = Bars()


def find_bars(frames: Sequence[Pixels]) -> Bars:
    """Return the bars that are black in all of these frames.

    A bar is a border of at least two rows or columns, all darker than the level 24, that ends at a
    straight edge. Without such an edge, as in a night scene, there is no bar.
    """
    brightest = np.maximum.reduce([luma(frame) for frame in frames])
    top, bottom = _dark_ends(brightest)
    rows = brightest[top : len(brightest) - bottom]
    left, right = _dark_ends(rows.T)
    found = Bars(top, bottom, left, right)
    if not found:
        return NO_BARS
    outside = np.ones(brightest.shape, bool)
    outside[found.inner(*brightest.shape)] = False
    red, green, blue = np.median(np.stack(frames)[:, outside], axis=(0, 1))
    return Bars(top, bottom, left, right, (round(red), round(green), round(blue)))


def is_lit(frame: Pixels) -> bool:
    """Return True for a frame that is bright enough to tell bars from a dark scene."""
    return float((luma(frame) > _BLACK).mean()) >= _LIT_FRAME


def is_in_bars(frame: Pixels, bars: Bars) -> bool:
    """Return True if the frame shows something where `bars` are."""
    seen = luma(frame) > _SEEN
    outside = seen.size - seen[bars.inner(*seen.shape)].size
    spilt = int(seen.sum()) - int(seen[bars.inner(*seen.shape)].sum())
    return spilt > _SEEN_SHARE * outside


def luma(frame: Pixels) -> NDArray[np.uint8]:
    """Return the luma of a frame in 8 bits."""
    return np.asarray(cv2.cvtColor(as_uint8(frame), cv2.COLOR_RGB2GRAY), np.uint8)


def _dark_ends(brightest: NDArray[np.uint8]) -> tuple[int, int]:
    """Return the numbers of dark rows at the beginning and at the end that are bars."""
    lit = np.flatnonzero(brightest.max(axis=1, initial=0) > _BLACK)
    count = len(brightest)
    if not len(lit) or lit[-1] + 1 - lit[0] < _SMALLEST_PICTURE * count:
        return 0, 0
    first, last = int(lit[0]), int(lit[-1])
    begin = _bar_rows(brightest[:first], brightest[first : first + _EDGE_ROWS])
    end = _bar_rows(brightest[:last:-1], brightest[last + 1 - _EDGE_ROWS : last + 1])
    return begin, end


def _bar_rows(dark: NDArray[np.uint8], edge: NDArray[np.uint8]) -> int:
    """Return the number of dark rows, from the border on, if they are a bar; 0 if they are not.

    `edge` are the rows of the picture next to them.
    """
    is_bar = len(dark) >= _FEWEST_ROWS and _ends_bar(edge) and _is_even(dark)
    return len(dark) if is_bar else 0


def _is_even(rows: NDArray[np.uint8]) -> bool:
    """Return True unless rows brighten towards the picture, as the dark end of a gradient does.

    The last row of a long bar does not count: the picture spills into it.
    """
    levels = np.median(rows[: max(len(rows) - 1, _FEWEST_ROWS)], axis=1)
    return float(np.ptp(levels)) <= _UNEVEN


def _ends_bar(rows: NDArray[np.uint8]) -> bool:
    return float((rows.max(axis=0) > _BLACK).mean()) >= _LIT_EDGE
