"""Finds outputs out of place or out of time: shifts, dropped and repeated frames."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vsr.evaluation.fidelity import luma
from vsr.evaluation.meters import Figures, Moment, Picture

_THUMBNAIL = (48, 48)
_REACH = 3  # frames, earlier and later, in which the moment is looked for
_CLEARLY = 0.5  # another moment must fit this much better
_STILL = 0.1  # levels: below, neighbouring frames are the same
_BLUR = 9  # pixels, so that the sharpness of the output does not matter
_STEPS, _PRECISION = 50, 1e-4

Thumbnail = NDArray[np.float32]


class ShiftMeter:
    """`shift_x, shift_y`: by how many pixels the output lies right of and below the truth."""

    def __init__(self, *, every: int = 1) -> None:
        self._every = every
        self._shifts: list[tuple[float, float]] = []

    def add(self, moment: Moment) -> Figures:
        """Return the shift of this frame; nothing for one that is skipped or has no texture."""
        shift = None if moment.index % self._every else shift_of(moment.output, moment.reference)
        if shift is None:
            return {}
        self._shifts.append(shift)
        return {"shift_x": shift[0], "shift_y": shift[1]}

    def total(self) -> Figures:
        """Return the medians, since single frames may mislead."""
        if not self._shifts:
            return {}
        x, y = np.median(self._shifts, axis=0)
        return {"shift_x": float(x), "shift_y": float(y)}


class PlacementMeter:
    """`misplaced_frames`: how many frames show another moment of the truth better than their own.

    `first_misplaced` is the number of the first, from 0; None if there is none.
    """

    def __init__(self) -> None:
        self._outputs: list[Thumbnail] = []
        self._truths: list[Thumbnail] = []
        self.first_misplaced: int | None = None

    def add(self, moment: Moment) -> Figures:
        """Return nothing yet: later frames are needed."""
        self._outputs.append(_thumbnail(moment.output))
        self._truths.append(_thumbnail(moment.reference))
        return {}

    def total(self) -> Figures:
        """Return the count."""
        wrong = [index for index in range(len(self._outputs)) if self._is_misplaced(index)]
        self.first_misplaced = wrong[0] if wrong else None
        return {"misplaced_frames": float(len(wrong))}

    def _is_misplaced(self, index: int) -> bool:
        first = max(0, index - _REACH)
        near = np.stack(self._truths[first : index + _REACH + 1])
        distances = np.abs(near - self._outputs[index]).mean((1, 2))
        own = distances[index - first]
        return bool(own > _STILL and distances.min() < _CLEARLY * own)


def shift_of(output: Picture, truth: Picture) -> tuple[float, float] | None:
    """Return the displacement (x, y) of the output in pixels; None if none can be found.

    By enhanced correlation (Evangelidis and Psarakis 2008), which ignores gain and brightness.
    """
    template, moved = (luma(one).astype(np.float32) for one in (truth, output))
    if min(template.std(), moved.std()) < 1:
        return None
    everywhere = np.full(template.shape, 255, np.uint8)
    start = np.eye(2, 3, dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _STEPS, _PRECISION)
    try:
        _, found = cv2.findTransformECC(
            template, moved, start, cv2.MOTION_TRANSLATION, criteria, everywhere, _BLUR
        )
    except cv2.error:  # it does not converge: the pictures have nothing in common
        return None
    return float(found[0, 2]), float(found[1, 2])


def _thumbnail(picture: Picture) -> Thumbnail:
    """A small grey picture around its own mean, so that brightness does not matter."""
    grey = picture.astype(np.float32).mean(-1)
    small = np.asarray(cv2.resize(grey, _THUMBNAIL, interpolation=cv2.INTER_AREA), np.float32)
    return small - small.mean()
