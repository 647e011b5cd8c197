"""Figures of time: warping error, temporal error, flicker, jumps at clip borders, ghosts."""

import cv2
import numpy as np

from vsr.evaluation.fidelity import Plane, luma
from vsr.evaluation.meters import Figures, Moment
from vsr.evaluation.motion import MotionEstimator

_PER_MILLE = 1e3
_QUIET = 1e-3  # x 1e-3, as tdiff: a clip whose usual error is less has no step worth naming
_BLOCKS = 8  # blocks of a frame, each way
_LOW_SIGMA = 4.0  # pixels; an x4 upscaler is given all that is left
_MOVED = 8.0  # levels by which truth must differ from its frame before, to show a ghost


class WarpMeter:
    """`ewarp` of a clip without a ground truth: the flow is its own."""

    def __init__(self) -> None:
        self._motion = MotionEstimator()
        self._before: Moment | None = None

    def add(self, moment: Moment) -> Figures:
        """Return the mean squared residual x 1e-3; nothing for the first frame."""
        before, self._before = self._before, moment
        if before is None:
            return {}
        motion = self._motion(moment.output, before.output)
        if not motion.valid.any():
            return {}
        residual = motion.residual(moment.output, before.output)
        return {"ewarp": float(np.square(residual).mean()) * _PER_MILLE}

    def total(self) -> Figures:
        """Return nothing: the figure is a mean over frames."""
        return {}


class TemporalMeter:
    """`ewarp`, `ewarp_gt`, `tdiff` by the flow of the ground truth, and `clip_border`."""

    def __init__(self) -> None:
        self._motion = MotionEstimator()
        self._before: Moment | None = None
        self._errors: list[float] = []

    def add(self, moment: Moment) -> Figures:
        """Return mean squared residuals x 1e-3; nothing for the first frame."""
        before, self._before = self._before, moment
        if before is None:
            return {}
        motion = self._motion(moment.reference, before.reference)
        if not motion.valid.any():
            return {}
        output = motion.residual(moment.output, before.output)
        truth = motion.residual(moment.reference, before.reference)
        squares = (np.square(one).mean() for one in (output, truth, output - truth))
        ewarp, ewarp_gt, tdiff = (float(square) * _PER_MILLE for square in squares)
        self._errors.append(tdiff)
        return {"ewarp": ewarp, "ewarp_gt": ewarp_gt, "tdiff": tdiff}

    def total(self) -> Figures:
        """Return `clip_border`: the largest tdiff of a frame over the median; 1 is steady."""
        if len(self._errors) < 3:
            return {}
        errors = np.maximum(self._errors, _QUIET)
        return {"clip_border": float(errors.max() / np.median(errors))}


class FlickerMeter:
    """`flicker`: change of the brightness error from frame to frame, in levels of 255."""

    def __init__(self) -> None:
        self._before: Plane | None = None

    def add(self, moment: Moment) -> Figures:
        """Return the mean over 8 x 8 blocks; nothing for the first frame."""
        error = luma(moment.output) - luma(moment.reference)
        small = cv2.resize(error, (_BLOCKS, _BLOCKS), interpolation=cv2.INTER_AREA)
        blocks = np.asarray(small, np.float64)
        before, self._before = self._before, blocks
        return {} if before is None else {"flicker": float(np.abs(blocks - before).mean())}

    def total(self) -> Figures:
        """Return nothing: the figure is a mean over frames."""
        return {}


class GhostMeter:
    """`ghost`: the share of the frame before that shows through where the truth has changed.

    On low frequencies, since a blurred output is nearer to any other frame in the high ones.
    """

    def __init__(self) -> None:
        self._before: Plane | None = None

    def add(self, moment: Moment) -> Figures:
        """Return the least-squares `a` of `output = (1 - a) truth + a (truth before)`."""
        truth = _low(luma(moment.reference))
        before, self._before = self._before, truth
        if before is None:
            return {}
        change = before - truth
        moved = np.abs(change) > _MOVED
        if not moved.any():
            return {}
        error = _low(luma(moment.output)) - truth
        share = float((error * change)[moved].sum() / np.square(change[moved]).sum())
        return {"ghost": share}

    def total(self) -> Figures:
        """Return nothing: the figure is a mean over frames."""
        return {}


def _low(plane: Plane) -> Plane:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), _LOW_SIGMA), np.float64)
