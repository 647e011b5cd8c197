"""Figures of regular patterns that networks and tiles leave: grid, checker, borders of tiles."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vsr.evaluation.fidelity import Plane, luma
from vsr.evaluation.meters import Figures, Moment

_SCALE = 4  # the period of the pattern that an x4 network leaves
_BLOCK = 64  # pixels, a side of the blocks whose spectrum is taken
_NEAR, _FAR = 2, 4  # bins, the distance of the neighbours; a Hann window reaches 1
_REACH = 8  # columns at each side with which a border is compared
_EDGE = 4.0  # levels of the Laplacian, at which a place counts half
_FLOOR = 0.02  # levels: smaller differences are rounding
_TINY = 1e-12

Profile = NDArray[np.float64]


class GridMeter:
    """`grid`: how unequal the second difference is over the four pixel phases of an x4 output."""

    def __init__(self) -> None:
        self._sums = np.zeros((2, _SCALE))

    def add(self, moment: Moment) -> Figures:
        """Return nothing yet: phases are compared over the whole clip."""
        grey = moment.output.astype(np.float32).mean(-1)
        for axis, lines in enumerate((grey.T, grey)):
            change = np.abs(np.diff(lines, 2, axis=1)).mean(0)
            phases = change[: change.size // _SCALE * _SCALE].reshape(-1, _SCALE)
            self._sums[axis] += phases.mean(0)
        return {}

    def total(self) -> Figures:
        """Return the standard deviation over the mean of the phases, mean of both directions."""
        means = self._sums.mean(1)
        if not means.all():
            return {"grid": 0.0}
        return {"grid": float((self._sums.std(1) / means).mean())}


class CheckerMeter:
    """`checker`: power at the frequency (1/2, 1/2) over that of its neighbours; 1 is none."""

    def __init__(self) -> None:
        self._power = np.zeros((_BLOCK, _BLOCK))

    def add(self, moment: Moment) -> Figures:
        """Return nothing yet: power is summed over the whole clip."""
        plane = luma(moment.output)
        rows, columns = (size // _BLOCK for size in plane.shape)
        if rows and columns:
            whole = plane[: rows * _BLOCK, : columns * _BLOCK]
            blocks = whole.reshape(rows, _BLOCK, columns, _BLOCK).transpose(0, 2, 1, 3)
            blocks = blocks - blocks.mean((2, 3), keepdims=True)
            window = np.outer(np.hanning(_BLOCK), np.hanning(_BLOCK))
            self._power += np.square(np.abs(np.fft.fft2(blocks * window))).sum((0, 1))
        return {}

    def total(self) -> Figures:
        """Return the ratio; nothing for frames smaller than a block."""
        if not self._power.any():
            return {}
        middle = _BLOCK // 2
        distance = np.abs(np.arange(_BLOCK) - middle)
        ring = np.maximum.outer(distance, distance)
        neighbours = self._power[(ring >= _NEAR) & (ring <= _FAR)].mean()
        return {"checker": float((self._power[middle, middle] + _TINY) / (neighbours + _TINY))}


class TileMeter:
    """`tile_border`: the strongest straight step of the error over the steps beside it.

    A step counts if it goes through the whole frame, at one column or row, in all frames. 1 is
    none.

    Steps count most where the truth is flat: beside its edges every blur makes errors.
    """

    def __init__(self) -> None:
        self._sums: dict[int, Profile] = {}

    def add(self, moment: Moment) -> Figures:
        """Return nothing yet: steps are summed over the whole clip."""
        truth = luma(moment.reference)
        error, weight = luma(moment.output) - truth, _flatness(truth)
        for axis, (plane, share) in enumerate(((error, weight), (error.T, weight.T))):
            self._sums[axis] = self._sums.get(axis, 0) + _steps(plane, share)
        return {}

    def total(self) -> Figures:
        """Return the larger ratio of both directions."""
        ratios = [_peak_ratio(sums[0] / sums[1]) for sums in self._sums.values()]
        return {"tile_border": max(ratios)}


def _flatness(truth: Plane) -> Plane:
    """Weights in (0, 1] that are small within `_REACH` pixels of an edge."""
    edges = np.abs(cv2.Laplacian(truth, cv2.CV_64F))
    near = cv2.dilate(edges, np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8))
    return np.asarray(1 / (1 + np.square(near / _EDGE)), np.float64)


def _steps(error: Plane, weight: Plane) -> Profile:
    """For each border between two columns, the weighted sum of steps across it and the weight."""
    between = np.minimum(weight[:, 1:], weight[:, :-1])
    return np.stack([(np.abs(np.diff(error, axis=1)) * between).sum(0), between.sum(0)])


def _peak_ratio(profile: Profile) -> float:
    """The largest of the values, each over the largest of its neighbours."""
    ratios = [1.0]
    for place in range(_REACH, profile.size - _REACH):
        near = np.delete(profile[place - _REACH : place + _REACH + 1], _REACH)
        ratios.append(float((profile[place] + _FLOOR) / (near.max() + _FLOOR)))
    return max(ratios)
