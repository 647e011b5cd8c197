"""Optical flow between neighbouring frames, and the change that motion does not explain."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vsr.evaluation.meters import Picture
from vsr.ops.dis import DenseSearch

_ALPHA1, _ALPHA2 = 0.01, 0.5  # Sundaram et al. 2010, eq. 5

Field = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Motion:
    """Places `x, y` (`h w` each) in the frame before, and where they can be trusted."""

    x: Field
    y: Field
    valid: NDArray[np.bool_]

    def residual(self, frame: Picture, before: Picture) -> Field:
        """Return the frame minus the warped frame before at the valid places, `n 3` in [-1, 1]."""
        source = before.astype(np.float32) / 255
        warped = cv2.remap(source, self.x, self.y, cv2.INTER_LINEAR)
        change = frame.astype(np.float32) / 255 - np.asarray(warped, np.float32)
        return np.asarray(change[self.valid], np.float32)


class MotionEstimator:
    """Flow by OpenCV's DIS, preset medium, on luma, with a check of the way back."""

    def __init__(self) -> None:
        self._search = DenseSearch()

    def __call__(self, frame: Picture, before: Picture) -> Motion:
        """Return the motion from `frame` back to the frame before it.

        A place is valid if it stays inside the frame and |f + b|^2 < 0.01 (|f|^2 + |b|^2) + 0.5.
        """
        now, then = (
            np.asarray(cv2.cvtColor(one, cv2.COLOR_RGB2GRAY), np.uint8) for one in (frame, before)
        )
        back, forth = self._search(now, then), self._search(then, now)
        h, w = back.shape[:2]
        x = np.arange(w, dtype=np.float32)[None] + back[..., 0]
        y = np.arange(h, dtype=np.float32)[:, None] + back[..., 1]
        returned = np.asarray(cv2.remap(forth, x, y, cv2.INTER_LINEAR), np.float32)
        error = np.square(back + returned).sum(-1)
        length = np.square(back).sum(-1) + np.square(returned).sum(-1)
        inside = (x >= 0) & (y >= 0) & (x <= w - 1) & (y <= h - 1)
        return Motion(x, y, inside & (error < _ALPHA1 * length + _ALPHA2))
