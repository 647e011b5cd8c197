"""Scratches: lines along the film that stay for many frames, subtracted from what they cover."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from vsr.restoration.images import Image, Luma

_STRIPS = 12
"""A frame is cut into this many strips; a line is looked for in the column profiles of them."""
_SLOPES = np.linspace(-0.012, 0.012, 13)
"""Pixels to the side for each row."""
_NEAR, _FAR = 5, 9
"""The picture beside a line: columns at these distances."""
_BORDER = 12
"""Columns at the sides, where the edge of the picture looks like a line."""
_HALF = 5
"""Half the width of what is subtracted."""
_LEAST_ADDED = 2 / 255
_ROWS = 11
"""Rows over which the strength of a line is nearly the same."""
_LEAST_MEAN = 0.02
_LEAST_SEEN = 0.006
_LEAST_SHARE = 0.5
"""Share of the strips in which a line is visible."""
_APART = 6
_REACH_RATE = 0.9
"""Pixels that a line wanders from frame to frame."""
_PERSISTENCE = 0.6
_LEAST_FRAMES = 3
_SEEN_MOTION = 2.0
"""Pixels that the scene must move to tell a scratch from a pole."""
_CLEARLY = 0.8
_MISSING = 3.0
"""Pixels; the error of a place without a line."""
_LIVELY = 0.3
"""A still line whose strength changes less than this from frame to frame belongs to the scene."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line: its column at mid-height, pixels to the side for each row, its strength by strip."""

    x: float
    slope: float
    strength: Float[np.ndarray, "strips"]


def lines_of(luma: Luma) -> list[Line]:
    """Return the lines of a frame that may be scratches, the strongest first."""
    profiles = _profiles(luma)
    noise = np.maximum(_LEAST_SEEN, 2 * np.median(np.abs(profiles), 1, keepdims=True))
    scores = np.clip(profiles / noise, -2, 2)
    height, width = luma.shape
    middles = (np.arange(_STRIPS) + 0.5) * height / _STRIPS - height / 2
    columns = np.arange(width)
    sheared = [
        np.mean(
            [np.interp(columns + s * m, columns, row) for m, row in zip(middles, scores)],  # noqa: B905
            axis=0,
        )
        for s in _SLOPES
    ]
    total = np.stack(sheared)
    best = np.abs(total).max(0)
    lines: list[Line] = []
    best[:_BORDER] = best[-_BORDER:] = 0
    for x in np.argsort(-best):
        if best[x] < 0.6 or len(lines) >= 12:
            break
        slope = float(_SLOPES[np.abs(total[:, x]).argmax()])
        if any(abs(line.x - x) < _APART for line in lines):
            continue
        strength = np.array(
            [np.interp(x + slope * m, columns, row) for m, row in zip(middles, profiles)]  # noqa: B905
        )
        sign = np.sign(np.median(strength))
        seen = sign * strength > _LEAST_SEEN
        if seen.mean() >= _LEAST_SHARE and abs(strength.mean()) >= _LEAST_MEAN:
            lines.append(Line(float(x), slope, strength))
    return lines


def _profiles(luma: Luma) -> Float[np.ndarray, "strips w"]:
    """Return the median over each strip's rows of what a thin line adds to both its sides."""
    side = np.zeros((1, 2 * _FAR + 1), np.float32)
    side[0, : _FAR - _NEAR + 1] = 1 / (_FAR - _NEAR + 1)
    left, right = (luma - cv2.filter2D(luma, -1, kernel) for kernel in (side, side[:, ::-1].copy()))
    response = np.where(
        left * right > 0, np.sign(left) * np.minimum(np.abs(left), np.abs(right)), 0
    )
    bounds = np.linspace(0, len(luma), _STRIPS + 1).astype(int)
    return np.stack([np.median(response[a:b], 0) for a, b in itertools.pairwise(bounds)])


def tracked(window: Sequence[Sequence[Line]], moved: Sequence[float], centre: int) -> list[Line]:
    """Return the lines of frame `centre` that are scratches.

    A scratch is in most frames of the window, near its place. `moved` is how far the scene has
    moved to the right in each frame since the frame `centre`: a line that goes with it is a pole.
    In a scene that is still, the strength of a scratch changes along it, that of a pole does not.
    """
    return [line for line in window[centre] if _is_scratch(line, window, moved, centre)]


def _is_scratch(
    line: Line, window: Sequence[Sequence[Line]], moved: Sequence[float], centre: int
) -> bool:
    distances = [abs(i - centre) for i in range(len(window))]
    stays = [_same(line, *pair, 0.0) for pair in zip(window, distances, strict=True)]
    found = [one for one in stays if one is not None]
    if len(found) < max(_LEAST_FRAMES, _PERSISTENCE * len(window)):
        return False
    if max(moved) - min(moved) >= _SEEN_MOTION:
        goes = [_same(line, *trio) for trio in zip(window, distances, moved, strict=True)]
        staying = _error(line, stays, [0.0] * len(moved), moved)
        return staying < _CLEARLY * _error(line, goes, moved, moved)
    strengths = np.stack([one.strength for one in found])
    change = np.abs(np.diff(strengths, axis=0)).mean() / (np.abs(strengths).mean() + 1e-6)
    return bool(change > _LIVELY)


def _same(line: Line, lines: Sequence[Line], frames: int, shift: float) -> Line | None:
    """Return the line of another frame that is nearest to the place of this one, if it is near.

    The sign does not matter: a scratch has bright and dark bands, of which either may be found.
    """
    reach = 1.5 + _REACH_RATE * frames
    near = [other for other in lines if abs(other.x - line.x - shift) <= reach]
    return min(near, key=lambda other: abs(other.x - line.x - shift), default=None)


def _error(
    line: Line, found: Sequence[Line | None], shifts: Sequence[float], moved: Sequence[float]
) -> float:
    """Return the mean distance of lines to their expected places, where the scene has moved.

    A line that is missing counts as far away.
    """
    errors = [
        _MISSING if one is None else min(_MISSING, abs(one.x - line.x - shift))
        for one, shift, move in zip(found, shifts, moved, strict=True)
        if abs(move) >= _SEEN_MOTION / 2
    ]
    return float(np.mean(errors))


def without_lines(image: Image, lines: Sequence[Line], *, strength: float) -> Image:
    """Return the image without what the lines add to it, smoothed along them."""
    if not lines:
        return image
    image = image.copy()
    for line in lines:
        _subtract(image, line, strength)
    return image


def _subtract(image: Image, line: Line, strength: float) -> None:
    """Take the line out of the image, in place.

    A scratch adds a profile that changes slowly along it, while the picture under it changes fast:
    the mean along the line of the difference to both sides is the scratch.
    """
    h, w = image.shape[:2]
    rows = np.arange(h)
    centres = np.rint(line.x + line.slope * (rows - h / 2)).astype(int)
    reach = np.arange(-_FAR, _FAR + 1)
    columns = np.clip(centres[:, None] + reach, 0, w - 1)
    band = image[rows[:, None], columns]
    left = band[:, : _FAR - _HALF].mean(1)
    right = band[:, -(_FAR - _HALF) :].mean(1)
    share = ((reach + _FAR) / (2 * _FAR)).astype(np.float32)[None, :, None]
    base = left[:, None] * (1 - share) + right[:, None] * share
    added = _significant(_smooth_along(band - base), reach)
    taper = np.clip(_HALF + 0.5 - np.abs(reach), 0, 1).astype(np.float32)[None, :, None]
    inside = (centres[:, None] + reach == columns)[..., None]
    image[rows[:, None], columns] = band - strength * added * taper * inside


def _significant(
    added: Float[np.ndarray, "h reach 3"], reach: NDArray[np.int_]
) -> Float[np.ndarray, "h reach 3"]:
    """Return what is more than the same mean gives of the picture beside the line."""
    beside = np.abs(added[:, (np.abs(reach) >= _HALF) & (np.abs(reach) < _FAR - 1)])
    level = np.maximum(_LEAST_ADDED, 2 * beside.mean((1, 2)))[:, None, None]
    share = np.clip(np.abs(added).max(2, keepdims=True) / level - 1, 0, 1)
    return added * share


def _smooth_along(added: Float[np.ndarray, "h reach 3"]) -> Float[np.ndarray, "h reach 3"]:
    """Return the medians over some rows, which texture does not move, smoothed."""
    half = _ROWS // 2
    padded = np.pad(added, ((half, half), (0, 0), (0, 0)), mode="edge")
    medians = np.median(np.stack([padded[i : i + len(added)] for i in range(_ROWS)]), 0)
    size = 2 * _ROWS + 1
    return np.asarray(
        cv2.sepFilter2D(
            medians.astype(np.float32), -1, np.ones(1), cv2.getGaussianKernel(size, _ROWS / 2.5),
            borderType=cv2.BORDER_REPLICATE,
        )
    )  # fmt: skip
