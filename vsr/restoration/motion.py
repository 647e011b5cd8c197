"""The motion of the whole picture between two frames, by features; moving objects are left out."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from vsr.restoration.images import Luma, as_bytes, reduced

LONGEST_SIDE = 720
"""Features are tracked in frames of at most this side."""

_FEATURES = 400
_SPACING = 10
_ROUND_TRIP = 0.3
_INLIER = 0.6
_LEAST_INLIERS = 24
"""Fewer features that agree say nothing about the whole picture."""
_WINDOW = (17, 17)


@dataclass(frozen=True, slots=True)
class Motion:
    """Shift of the picture's centre in pixels and rotation in radians, if it was seen."""

    x: float = 0.0
    y: float = 0.0
    angle: float = 0.0
    is_known: bool = False


def tracking_image(luma: Luma) -> NDArray[np.uint8]:
    """Return the picture in which features are tracked."""
    return as_bytes(reduced(luma, LONGEST_SIDE))


def motion_between(before: NDArray[np.uint8], after: NDArray[np.uint8], width: int) -> Motion:
    """Return the motion of the picture from one frame to the next, for frames of `width` pixels.

    Corners are tracked there and back (Lucas and Kanade 1981, pyramidal); a similarity is fitted to
    the largest set that agrees (RANSAC), then to that set alone by least squares.
    """
    start, end = _tracked(before, after)
    if len(start) < _LEAST_INLIERS:
        return Motion()
    found: Any
    inliers: Any
    found, inliers = cv2.estimateAffinePartial2D(
        start, end, method=cv2.RANSAC, ransacReprojThreshold=_INLIER, maxIters=500
    )
    if found is None or int(inliers.sum()) < _LEAST_INLIERS:
        return Motion()
    agree = inliers[:, 0].astype(bool)
    h, w = before.shape
    return _similarity(start[agree], end[agree], np.array([(w - 1) / 2, (h - 1) / 2]), width / w)


def _tracked(
    before: NDArray[np.uint8], after: NDArray[np.uint8]
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2"]]:
    corners: Any = cv2.goodFeaturesToTrack(before, _FEATURES, 0.005, _SPACING)
    if corners is None or len(corners) < _LEAST_INLIERS:
        return np.empty((0, 2), np.float32), np.empty((0, 2), np.float32)
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None, winSize=_WINDOW)  # type: ignore[call-overload]
    back, returned, _ = cv2.calcOpticalFlowPyrLK(after, before, there, None, winSize=_WINDOW)  # type: ignore[call-overload]
    trip = np.linalg.norm((back - corners)[:, 0], axis=1)
    good = (found[:, 0] == 1) & (returned[:, 0] == 1) & (trip < _ROUND_TRIP)
    return corners[good, 0], there[good, 0]


def _similarity(start: np.ndarray, end: np.ndarray, centre: np.ndarray, scale: float) -> Motion:
    """Fit end = R start + shift by least squares, with positions from the centre."""
    a, b = start - centre, end - centre
    rows, zeros, ones = len(a), np.zeros(len(a)), np.ones(len(a))
    matrix = np.empty((2 * rows, 4))
    matrix[:rows] = np.stack([a[:, 0], -a[:, 1], ones, zeros], 1)
    matrix[rows:] = np.stack([a[:, 1], a[:, 0], zeros, ones], 1)
    cosine, sine, x, y = np.linalg.lstsq(matrix, np.concatenate([b[:, 0], b[:, 1]]), rcond=None)[0]
    return Motion(x * scale, y * scale, float(np.arctan2(sine, cosine)), is_known=True)
