"""Scratches: lines along the film that stay for many frames, subtracted from what they cover.

A line of the scene goes along with the scene, and one of the film does not: what a frame shows that
its neighbours do not show along the motion has scratches and no window frames.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from vsr.restoration.images import Luma

STRIPS = 12
"""A frame is cut into this many strips; a line is looked for in the column profiles of them."""
NEAR, FAR = 5, 9
"""The picture beside a line: columns at these distances."""
LEAST_SEEN = 0.006
"""Strength from which on a line is seen in a strip."""
APART = 6
"""Pixels between two lines."""
_SLOPES = np.linspace(-0.012, 0.012, 13)
"""Pixels to the side for each row."""
_BORDER = 12
"""Columns at the sides, where the edge of the picture looks like a line."""
_LEAST_SCORE = 0.6
_LEAST_MEAN, LEAST_NEW = 0.02, 0.01
"""Mean strength of a line in a picture, and in what a frame shows more than its neighbours."""
_LEAST_SHARE = 0.5
"""Share of the strips in which a line is visible."""
_MOST = 12
_REACH_RATE = 0.9
"""Pixels that a line wanders from frame to frame."""
_PERSISTENCE = 0.6
_LEAST_FRAMES = 3


@dataclass(frozen=True, slots=True)
class Line:
    """A line: its column at mid-height, pixels to the side for each row, its strength by strip."""

    x: float
    slope: float
    strength: Float[np.ndarray, "strips"]

    def columns(self, height: int) -> NDArray[np.int_]:
        """Return the column of its middle in each row."""
        rows = np.arange(height)
        return np.rint(self.x + self.slope * (rows - height / 2)).astype(int)


def lines_of(luma: Luma, *, least: float = _LEAST_MEAN) -> list[Line]:
    """Return the thin lines of a mean strength along a picture, those most clearly seen first.

    A picture of fewer rows than strips has none.
    """
    if len(luma) < STRIPS:
        return []
    shown = profiles(luma)
    noise = np.maximum(LEAST_SEEN, 2 * np.median(np.abs(shown), 1, keepdims=True))
    height, width = luma.shape
    middles = (np.arange(STRIPS) + 0.5) * height / STRIPS - height / 2
    total = _sheared(np.clip(shown / noise, -2, 2), middles)
    best = np.abs(total).max(0)
    best[:_BORDER] = best[-_BORDER:] = 0
    lines: list[Line] = []
    for x in np.argsort(-best):
        if best[x] < _LEAST_SCORE or len(lines) >= _MOST:
            break
        if any(abs(line.x - x) < APART for line in lines):
            continue
        slope = float(_SLOPES[np.abs(total[:, x]).argmax()])
        places = x + slope * middles
        strength = np.array([np.interp(x, np.arange(width), row) for x, row in zip(places, shown)])  # noqa: B905
        seen = np.sign(np.median(strength)) * strength > LEAST_SEEN
        if seen.mean() >= _LEAST_SHARE and abs(strength.mean()) >= least:
            lines.append(Line(float(x), slope, strength))
    return lines


def _sheared(
    scores: Float[np.ndarray, "strips w"], middles: Float[np.ndarray, "strips"]
) -> Float[np.ndarray, "slopes w"]:
    """Return the mean score along a line of each slope through each column."""
    columns = np.arange(scores.shape[1])
    sheared = [
        [np.interp(columns + s * m, columns, row) for m, row in zip(middles, scores, strict=True)]
        for s in _SLOPES
    ]
    return np.mean(sheared, axis=1)


def profiles(luma: Luma) -> Float[np.ndarray, "strips w"]:
    """Return the median over each strip's rows of what a thin line adds to both its sides."""
    side = np.zeros((1, 2 * FAR + 1), np.float32)
    side[0, : FAR - NEAR + 1] = 1 / (FAR - NEAR + 1)
    left, right = (luma - cv2.filter2D(luma, -1, kernel) for kernel in (side, side[:, ::-1].copy()))
    response = _shared(left, right)
    bounds = np.linspace(0, len(luma), STRIPS + 1).astype(int)
    return np.stack([np.median(response[a:b], 0) for a, b in itertools.pairwise(bounds)])


def novelty(luma: Luma, aligned: Sequence[Luma]) -> Luma:
    """Return what a frame shows more, or less, than both of two aligned neighbours do."""
    return _shared(*(luma - other for other in aligned))


def _shared(first: Luma, second: Luma) -> Luma:
    """Return what two differences of one sign have in common, and 0 where their signs differ."""
    nearer = np.minimum(np.abs(first), np.abs(second))
    return np.where(first * second > 0, np.sign(first) * nearer, 0)


def merged(lines: Sequence[Line], more: Sequence[Line]) -> list[Line]:
    """Return the lines, and those of `more` that are not beside one of them."""
    new = [one for one in more if all(abs(one.x - line.x) >= APART for line in lines)]
    return [*lines, *new]


def persists(line: Line, window: Sequence[Sequence[Line]], centre: int) -> bool:
    """Return True if most frames of the window have a line near the place of this one.

    The sign does not matter: a scratch has bright and dark bands, of which either may be found.
    """
    found = sum(
        any(abs(other.x - line.x) <= 1.5 + _REACH_RATE * abs(number - centre) for other in lines)
        for number, lines in enumerate(window)
    )
    return found >= max(_LEAST_FRAMES, _PERSISTENCE * len(window))
