"""Weave: the film's movement in the gate, taken out; the camera's own movement stays."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float

from vsr.restoration.images import Image
from vsr.restoration.motion import Motion
from vsr.restoration.paths import noise_of, smooth_at
from vsr.restoration.spectrum import fast_shares, holds

_LARGEST = 4.0
"""Largest weave in pixels, for frames of 640 pixels; what is larger is the camera's."""
_STEADY, _UNSTEADY = 0.05, 0.1
"""Pixels of independent noise in the path: below the first a film does not weave."""
_WHITE = 1.5
"""Residuals of a line are weave of single frames up to this many times the independent noise."""
_BOUNDED, _LONG = 1.7, 45
"""Weave that changes over some frames stays near its line: over windows of so many frames it is at
most this many times as far from it as from a short mean. A camera goes ever farther."""
_MOSTLY, _STRIDE = 0.6, 4
"""Share of the windows of `_LONG` frames, one every four, in which weave is bounded: a hand is
quiet for a while only."""
_SLACK = 0.015
_LASTS, _BEGINS = 0.12, 0.25
"""Fast share of a path's energy at which weave of single frames lasts, and begins."""
_SHORT = 13
_LEAST = 9
"""Frames of the shortest window that tells weave from a camera."""
_REACHES = (72, 48, 36, 24, 16, 10, 6, 4)

Shift = Float[np.ndarray, "3"]
"""Pixels to the right, pixels down, and radians."""
NO_SHIFT: Shift = np.zeros(3)


def weave_at(motions: Sequence[Motion], centre: int, width: int) -> Shift:
    """Return how far frame `centre` is from its place on the smooth path.

    `motions` are those between neighbouring frames of the window, one fewer than frames. The path
    is their sum; its smooth part is a line over the longest window in which all that is beside the
    line is weave. Where there is none, the camera moves by itself, and nothing is moved back.
    """
    known = _known_part(motions, centre)
    steps = np.array([[m.x, m.y, m.angle] for m in motions[known]]).reshape(-1, 3)
    path = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, 0)])
    centre -= known.start
    largest = _LARGEST * max(1.0, width / 640)
    window = _window(path[:, :2], centre, largest)
    if window is None:
        return NO_SHIFT
    part = path[window]
    # Rotation counts by what it moves at the sides.
    noise = noise_of(part) * np.array([1, 1, width / 4])
    share = np.clip((noise - _STEADY) / (_UNSTEADY - _STEADY), 0, 1)
    share[:2] = share[:2].max()
    shift = share * (path[centre] - smooth_at(part, centre - window.start, degree=1))
    return shift if np.abs(shift[:2]).max() <= largest else NO_SHIFT


def _window(path: Float[np.ndarray, "t 2"], centre: int, largest: float) -> slice | None:
    """Return the longest window around a frame in which all that is beside a line is weave.

    Weave of single frames has a fast part, which a hand that holds a camera has not; slower weave
    keeps near its line in most windows, and a hand in some.
    """
    if len(path) < _LEAST:
        return None
    jumps = holds(fast_shares(path), centre, low=_LASTS, high=_BEGINS)
    stays = _stays_bounded(path, largest)
    for reach in _REACHES if jumps or stays else ():
        window = slice(max(0, centre - reach), min(len(path), centre + reach + 1))
        part = path[window]
        if len(part) < _LEAST:
            break
        if (jumps and _is_white(part, largest)) or (stays and _is_bounded(part, largest)):
            return window
    return None


def _known_part(motions: Sequence[Motion], centre: int) -> slice:
    """Return the motions around a frame up to the nearest ones that were not seen."""
    first, last = centre, centre
    while first > 0 and motions[first - 1].is_known:
        first -= 1
    while last < len(motions) and motions[last].is_known:
        last += 1
    return slice(first, last)


def _is_white(path: Float[np.ndarray, "t 2"], largest: float) -> bool:
    """Return True if all that is beside a line through the path is independent noise."""
    residuals = path - _lines(path)
    power = (residuals**2).mean() * len(path) / (len(path) - 2)
    is_noise = power <= _WHITE**2 * (noise_of(path) ** 2).mean()
    return bool(is_noise and np.abs(residuals).max() <= largest)


def _is_bounded(path: Float[np.ndarray, "t 2"], largest: float) -> bool:
    """Return True if the path keeps near its line."""
    if len(path) < _LONG:
        return False
    residuals, half = path - _lines(path), _SHORT // 2
    means = np.stack([np.convolve(c, np.full(_SHORT, 1 / _SHORT), "valid") for c in path.T], 1)
    near = np.sqrt(((path[half:-half] - means) ** 2).mean(0))
    far = np.sqrt((residuals[half:-half] ** 2).mean(0))
    is_near = (far <= _BOUNDED * near + _SLACK).all()
    return bool(is_near and np.abs(residuals).max() <= largest)


def _stays_bounded(path: Float[np.ndarray, "t 2"], largest: float) -> bool:
    """Return True if the path keeps near its line in most of its windows."""
    starts = range(0, len(path) - _LONG + 1, _STRIDE)
    kept = [_is_bounded(path[start : start + _LONG], largest) for start in starts]
    return bool(kept) and float(np.mean(kept)) >= _MOSTLY


def _lines(path: Float[np.ndarray, "t n"]) -> Float[np.ndarray, "t n"]:
    times = np.arange(len(path)) - (len(path) - 1) / 2
    beside = path - path.mean(0)
    return path - beside + times[:, None] * (times @ beside / (times @ times))


def moved_back(image: Image, shift: Shift) -> Image:
    """Return the image at its place; beyond its border is its mirror image."""
    if not shift.any():
        return image
    h, w = image.shape[:2]
    return np.asarray(
        cv2.warpAffine(
            image, _matrix(shift, (h, w)), (w, h),
            flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT_101,
        ),
        np.float32,
    )  # fmt: skip


def _matrix(shift: Shift, size: tuple[int, int]) -> Float[np.ndarray, "2 3"]:
    """Return the matrix from a place in the steady frame to that in the frame as it is."""
    x, y, angle = shift
    h, w = size
    matrix = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), -np.degrees(angle), 1.0)
    matrix[:, 2] += x, y
    return np.asarray(matrix)
