"""Warping of maps along optical flow, and the places where that flow is consistent.

Flow is (dx, dy) in pixels of the map it is used on: `frame_k(p) ~ frame_{k+1}(p + forward_k(p))`.
"""

from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from vsr.errors import InputError

WarpMode = Literal["bilinear", "nearest", "bicubic"]
WarpPadding = Literal["zeros", "border"]


@dataclass(frozen=True, slots=True)
class Flows:
    """Flow between neighbouring frames, both ways: `b 2 pairs h w`.

    Pair k joins frames k and k + 1. Raises InputError for another shape.
    """

    forward: Float[Tensor, "..."]
    backward: Float[Tensor, "..."]

    def __post_init__(self) -> None:
        for way, flow in (("forward", self.forward), ("backward", self.backward)):
            if flow.ndim != 5 or flow.shape[1] != 2:
                raise InputError(
                    f"{way} flows have shape {tuple(flow.shape)}; give (b, 2, pairs, h, w)"
                )
        if self.forward.shape != self.backward.shape:
            raise InputError(
                f"forward and backward flows differ in shape: {tuple(self.forward.shape)} and "
                f"{tuple(self.backward.shape)}"
            )

    @classmethod
    def of(cls, flows: "Flows | tuple[Tensor, Tensor]") -> "Flows":
        """Returns flows that are given as such, or as a pair (forward, backward)."""
        return flows if isinstance(flows, Flows) else cls(*flows)

    @property
    def pairs(self) -> int:
        """Number of pairs of neighbouring frames."""
        return self.forward.shape[2]

    def to(self, device: torch.device) -> Self:
        """Returns the flows on `device`."""
        return replace(self, forward=self.forward.to(device), backward=self.backward.to(device))

    def pair(
        self, index: int, size: tuple[int, int]
    ) -> tuple[Float[Tensor, "b 2 h2 w2"], Float[Tensor, "b 2 h2 w2"]]:
        """Returns both flows of one pair for maps of `size` (h, w), in pixels of those maps.

        One pair at a time: those of a whole clip at the size of large frames would fill memory.
        """
        flows = self.forward[:, :, index], self.backward[:, :, index]
        return resize_flow(flows[0], size), resize_flow(flows[1], size)


def no_flows(frames: Float[Tensor, "b c t h w"]) -> Flows:
    """Returns the flows of a single frame, which has no neighbours."""
    b, _, _, h, w = frames.shape
    empty = torch.zeros(b, 2, 0, h, w, device=frames.device)
    return Flows(forward=empty, backward=empty)


def warp(
    x: Float[Tensor, "b c h w"],
    flow: Float[Tensor, "b 2 h2 w2"],
    *,
    mode: WarpMode = "bilinear",
    padding: WarpPadding = "zeros",
    origin: tuple[int, int] = (0, 0),
) -> Float[Tensor, "b c h2 w2"]:
    """Returns `x(p + flow(p))`; beyond the border is zero, or the border's value.

    The flow may be that of a part of `x`, whose first row and column are `origin`. The grid is
    float32 whatever the type of `x`: half precision misses by pixels on large maps.
    """
    _, _, h, w = x.shape
    dx, dy = flow.float().unbind(dim=1)
    (top, left), (height, width) = origin, flow.shape[-2:]
    columns = torch.arange(left, left + width, device=flow.device, dtype=torch.float32)
    rows = torch.arange(top, top + height, device=flow.device, dtype=torch.float32)[:, None]
    # grid_sample with align_corners has -1 and 1 on the centres of the outermost pixels
    grid = torch.stack(
        (2 * (columns + dx) / max(w - 1, 1) - 1, 2 * (rows + dy) / max(h - 1, 1) - 1), dim=-1
    )
    sampled = F.grid_sample(x.float(), grid, mode=mode, padding_mode=padding, align_corners=True)
    return sampled.to(x.dtype)


def consistent(
    flow: Float[Tensor, "b 2 h w"],
    check: Float[Tensor, "b 2 h w"],
    *,
    alpha1: float,
    alpha2: float,
) -> Bool[Tensor, "b 1 h w"]:
    """Returns the places where `flow` there and `check` back end close to the start.

    |f + b|^2 < alpha1 (|f|^2 + |b|^2) + alpha2 with b = check(p + flow(p)), Sundaram et al. 2010,
    eq. 5; its inputs are flows between the same two frames in opposite directions.
    """
    error, length = round_trip_error(flow, check)
    return error < alpha1 * length + alpha2


def round_trip_error(
    flow: Float[Tensor, "b 2 h w"], check: Float[Tensor, "b 2 h w"]
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
    """Returns |f + b|^2 and |f|^2 + |b|^2 with b = check(p + flow(p)), in square pixels."""
    flow = flow.float()
    back = warp(check.float(), flow)
    return _squared_length(flow + back), _squared_length(flow) + _squared_length(back)


def resize_flow(flow: Float[Tensor, "b 2 h w"], size: tuple[int, int]) -> Float[Tensor, "b 2 _ _"]:
    """Flow for maps of another (h, w): resampled, dx by the widths' ratio, dy by the heights'."""
    h, w = flow.shape[-2:]
    if (h, w) == size:
        return flow
    resized = F.interpolate(flow, size, mode="bilinear", align_corners=False, antialias=True)
    return resized * flow.new_tensor([size[1] / w, size[0] / h]).view(1, 2, 1, 1)


def _squared_length(flow: Tensor) -> Tensor:
    return flow.square().sum(dim=1, keepdim=True)
