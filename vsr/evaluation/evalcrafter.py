"""The warping error of EvalCrafter: a second definition beside ours, as papers use it.

Liu et al. 2023 took it from Lai et al. 2018. It differs from `ewarp` in five ways: frames are
halved, the later frame is warped to the earlier one, motion boundaries are left out, squares are
summed over the three channels, and the flow is always that of the output.
"""

import logging
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vsr.evaluation.meters import Figures, Moment, Picture
from vsr.models.flow_estimators import DisFlow, FlowEstimator
from vsr.models.raft import RaftFlow, cached_raft

_log = logging.getLogger(__name__)

DEFINITION = (
    "vsr-ewarp-evalcrafter-1: x 1e-3, frames halved, flow of the output; mean over valid pixels of "
    "the sum over RGB in [0, 1] of (warp(out[t+1]) - out[t])^2; valid: |f + b|^2 <= "
    "0.01 (|f|^2 + |b|^2) + 0.5 and |grad f|^2 <= 0.01 |f|^2 + 0.002"
)
_PER_MILLE = 1e3
_CONSISTENT = (0.01, 0.5)  # Sundaram et al. 2010, eq. 5
_BOUNDARY = (0.01, 0.002)  # the same, eq. 6

Field = NDArray[np.float32]


class FlowChoice:
    """The flow of the second warping error, and its name for the result."""

    def __init__(self, weights: Path | None = None) -> None:
        """Take RAFT from `weights`, or from the cache of torchvision, or else DIS."""
        file = weights or cached_raft()
        self._raft = None if file is None else RaftFlow(file)
        self.name = "OpenCV DIS, preset medium" if file is None else f"RAFT, {file.name}"

    def estimator(self) -> FlowEstimator:
        """Return an estimator for one clip: a search of DIS must not be shared by threads."""
        return DisFlow() if self._raft is None else self._raft


class EvalCrafterMeter:
    """`ewarp_evalcrafter`, x 1e-3, lower is better."""

    def __init__(self, flow: FlowEstimator) -> None:
        self._flow = flow
        self._before: Field | None = None

    def add(self, moment: Moment) -> Figures:
        """Return the error between this frame and the one before; nothing for the first."""
        now = _halved(moment.output)
        before, self._before = self._before, now
        if before is None:
            return {}
        return {"ewarp_evalcrafter": _PER_MILLE * _error(before, now, self._flow)}

    def total(self) -> Figures:
        """Return nothing: the figure is a mean over pairs of frames."""
        return {}


def _error(first: Field, second: Field, flow: FlowEstimator) -> float:
    pair = torch.from_numpy(np.stack([first, second])).permute(3, 0, 1, 2)[None]
    flows = flow(2 * pair - 1)
    forth, back = (
        np.ascontiguousarray(one[0, :, 0].permute(1, 2, 0).numpy())
        for one in (flows.forward, flows.backward)
    )
    returned = _sampled(back, forth)
    consistent = _square(forth + returned) <= (
        _CONSISTENT[0] * (_square(forth) + _square(returned)) + _CONSISTENT[1]
    )
    valid = consistent & (_slope(forth) <= _BOUNDARY[0] * _square(forth) + _BOUNDARY[1])
    change = _sampled(second, forth) - first
    squares = np.square(change).sum(-1)
    if not valid.any():  # the original divides by the number of values then
        return 0.0
    return float(squares[valid].mean())


def _halved(picture: Picture) -> Field:
    """Means of two by two pixels in [0, 1], which is bilinear at the scale 1/2; odd edges go."""
    height, width = (2 * (side // 2) for side in picture.shape[:2])
    size = (width // 2, height // 2)
    whole = picture[:height, :width].astype(np.float32) / 255
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.float32)


def _sampled(field: Field, flow: Field) -> Field:
    """The field at the places that the flow leads to; beyond the border that of the border."""
    h, w = flow.shape[:2]
    x = np.arange(w, dtype=np.float32)[None] + flow[..., 0]
    y = np.arange(h, dtype=np.float32)[:, None] + flow[..., 1]
    moved = cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def _square(flow: Field) -> Field:
    return np.square(flow).sum(-1)


def _slope(flow: Field) -> Field:
    """Sum of the squared differences to the right and lower neighbours; 0 at the last ones."""
    slope = np.zeros(flow.shape[:2], np.float32)
    slope[:, :-1] += np.square(np.diff(flow, axis=1)).sum(-1)
    slope[:-1] += np.square(np.diff(flow, axis=0)).sum(-1)
    return slope
