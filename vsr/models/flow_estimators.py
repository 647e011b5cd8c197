"""Optical flow between neighbouring frames: OpenCV's DIS, which needs no weights, and RAFT."""

import logging
from itertools import pairwise
from pathlib import Path
from typing import Protocol, cast, get_args

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from vsr.config import Flow
from vsr.errors import ConfigError, ModelError
from vsr.models.raft import RaftFlow, cached_raft, raft_weights
from vsr.ops.dis import DenseSearch, DisPreset
from vsr.ops.flow import Flows, no_flows
from vsr.option_values import nearest

_log = logging.getLogger(__name__)

_FINEST, _REFINEMENTS = 0, 15
"""Finest scale and variational iterations of fine DIS; the presets stop at half the size."""
_REGULAR = 80.0
"""Smoothness of flow along which frames are fused or pictures carried; the presets have 20."""


class FlowEstimator(Protocol):
    """Estimates the flow between neighbouring frames in [-1, 1], in both directions."""

    def __call__(self, frames: Float[Tensor, "b 3 t h w"]) -> Flows:
        """Returns finite float32 flows of t - 1 pairs in pixels, on the device of the frames."""
        ...


class DisFlow:
    """Dense inverse search on luma (Kroeger et al. 2016) by OpenCV, on the CPU.

    `fine`: search at full size with more refinement, three times as slow (see `_FINEST`), for
    flow to a fraction of a small pixel. `smoothness`: the weight of regularity in the refinement;
    None leaves it to the preset.
    """

    def __init__(
        self,
        preset: str = "medium",
        *,
        fine: bool = False,
        smoothness: float | None = None,
    ) -> None:
        if preset not in get_args(DisPreset):
            raise ConfigError(f"unknown DIS {preset = }, allowed are {get_args(DisPreset)}")
        self._search = DenseSearch(
            cast("DisPreset", preset),
            finest_scale=_FINEST if fine else None,
            iterations=_REFINEMENTS if fine else None,
            smoothness=smoothness,
        )

    def __call__(self, frames: Float[Tensor, "b 3 t h w"]) -> Flows:
        """Returns flows of t - 1 pairs; frames below 32 pixels are padded, their flow cropped."""
        if frames.shape[2] < 2:
            return no_flows(frames)
        clips = _luma(frames)
        forward = [[self._pair(*pair) for pair in pairwise(clip)] for clip in clips]
        backward = [[self._pair(*pair[::-1]) for pair in pairwise(clip)] for clip in clips]
        return Flows(_stacked(forward).to(frames.device), _stacked(backward).to(frames.device))

    def between(
        self,
        source: Float[Tensor, "1 3 h w"],
        target: Float[Tensor, "1 3 h w"],
        initial: Float[Tensor, "1 2 h w"] | None = None,
    ) -> Float[Tensor, "1 2 h w"]:
        """Returns the flow from one frame to another; the search begins at `initial`."""
        here, there = (_luma(frame[:, :, None])[0, 0] for frame in (source, target))
        begin = None if initial is None else initial[0].cpu().numpy()
        return torch.from_numpy(self._pair(here, there, begin))[None].to(source.device)

    def _pair(
        self,
        source: NDArray[np.uint8],
        target: NDArray[np.uint8],
        initial: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        begin = None if initial is None else rearrange(initial, "two h w -> h w two")
        flow = rearrange(self._search(source, target, begin), "h w two -> two h w")
        return np.ascontiguousarray(flow)


def key_flow(*, fine: bool = True) -> DisFlow:
    """Returns the estimator along which pictures of key frames are carried: regular DIS.

    Detail that trembles shows more than detail that is a little off.
    """
    return DisFlow(fine=fine, smoothness=_REGULAR)


def flow_estimator(
    name: str = "auto",
    *,
    weights: Path | str | None = None,
    folder: Path | str | None = None,
    device: torch.device | str = "cpu",
    fine: bool = False,
) -> FlowEstimator:
    """Returns the estimator of that name; the log says which one runs and why.

    `weights`: of RAFT; None means those of the model folder `folder`, if it has some. "auto" is
    RAFT if there are weights, or torchvision's cache holds some and the device is not a CPU; else
    DIS. "raft" without weights takes those of the cache and downloads nothing. `fine`: of DIS; then
    "auto" is DIS unless weights are given.
    """
    known = get_args(Flow)
    if name not in known:
        raise ConfigError(
            f"unknown flow estimator {name!r}, allowed are {', '.join(known)}{nearest(name, known)}"
        )
    if name == "dis":
        return _announced(_dis(fine=fine), "DIS", "it was asked for")
    weights = weights or raft_weights(folder)
    if weights is not None:
        return _announced(RaftFlow(weights, device=device), "RAFT", f"weights are given: {weights}")
    if name == "auto" and fine:
        return _announced(DisFlow(fine=True), "DIS at full size", "the model was measured with it")
    if name == "auto" and torch.device(device).type == "cpu":
        return _announced(_dis(fine=fine), "DIS", "the device is a CPU, where RAFT is slow")
    cached = cached_raft()
    if cached is not None:
        return _announced(RaftFlow(cached, device=device), "RAFT", f"its weights are in {cached}")
    if name == "raft":
        raise ModelError(
            "flow by RAFT needs weights and torchvision's cache holds none: give a file, or "
            '"small" or "large" to download torchvision\'s'
        )
    return _announced(_dis(fine=fine), "DIS", "no RAFT weights are given or cached")


def _dis(*, fine: bool) -> DisFlow:
    """DIS to fuse frames along; recurrent networks were measured with the flow of the preset."""
    return DisFlow(fine=True) if fine else DisFlow(smoothness=_REGULAR)


def _announced(estimator: FlowEstimator, name: str, reason: str) -> FlowEstimator:
    _log.info("flow by %s: %s", name, reason)
    return estimator


def _luma(frames: Tensor) -> NDArray[np.uint8]:
    """Luma of ITU-R BT.601, `b t h w`."""
    red, green, blue = frames.detach().to("cpu", torch.float32).unbind(dim=1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return (luma * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8).numpy()


def _stacked(clips: list[list[NDArray[np.float32]]]) -> Tensor:
    return rearrange(torch.from_numpy(np.array(clips)), "b pairs two h w -> b two pairs h w")
