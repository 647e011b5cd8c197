"""Shares: how much of a neighbouring frame is fused into a frame, place by place."""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vsr.ops.flow import Flows, consistent, resize_flow, warp
from vsr.propagation.fusion import Link, PropagationConfig

_GREY_LEVEL = 2 / 255
"""One grey level of frames in [-1, 1]."""
_NEIGHBOURHOOD = 3
"""Small frames are compared over squares of this many of their pixels."""


class Shares(Protocol):
    """The links between neighbouring frames of a clip, for maps of any size."""

    def link(self, i: int, n: int, size: tuple[int, int]) -> Link:
        """Returns the link from frame `i` to its neighbour `n`; -1 is the frame before the clip."""
        ...


@dataclass(frozen=True, slots=True)
class RoundTripShares:
    """The published shares: beta where the flow there and back ends close to its start, else 0."""

    flows: Flows
    config: PropagationConfig
    before: int
    """1 if the flows begin with the pair from the frame before the clip, else 0."""

    def link(self, i: int, n: int, size: tuple[int, int]) -> Link:
        """See Shares."""
        there, back = _pair(self.flows, self.before + i, self.before + n, size)
        valid = consistent(there, back, alpha1=self.config.alpha1, alpha2=self.config.alpha2)
        return Link(there, valid.float() * self.config.beta)


class GatedShares:
    """Shares that also ask the small frames whether the flow is right; see `trust`.

    A frame that has taken in n agreeing frames has the weight 1 + n, up to `config.count`, and the
    neighbour's share follows the weights, with w_n the warped weight of the neighbour:

        s = T beta w_n / (beta w_n + (1 - beta) w_i),   w_i <- min(w_i + T w_n, count)

    No number of frames outvotes a low trust T. Weights follow from the small frames alone, so that
    all propagation steps have the same shares. `weight` is that of the frame before the clip, the
    first of `frames` then.
    """

    def __init__(
        self,
        frames: Float[Tensor, "b 3 t h w"],
        flows: Flows,
        config: PropagationConfig,
        *,
        scale: float,
        weight: Float[Tensor, "b 1 h w"] | None = None,
    ) -> None:
        self.flows, self.config = flows, config
        self._before = 0 if weight is None else 1
        self._frames, self._scale = frames, scale
        count = frames.shape[2] - self._before
        self._weights = [torch.ones_like(frames[:, :1, 0]) for _ in range(count)]
        self._shares: dict[tuple[int, int], Float[Tensor, "b 1 h w"]] = {}
        if config.direction == "both":
            for i in range(count - 2, -1, -1):
                self._take(i, i + 1, self._weights[i + 1])
        for i in range(count):
            if i > 0 or weight is not None:
                self._take(i, i - 1, self._weights[i - 1] if i else weight)

    @property
    def weight(self) -> Float[Tensor, "b 1 h w"]:
        """The weight of the last frame, for the next clip."""
        return self._weights[-1]

    def link(self, i: int, n: int, size: tuple[int, int]) -> Link:
        """See Shares."""
        there, _ = self._pair(i, n)
        share = F.interpolate(self._shares[i, n], size, mode="bilinear", align_corners=False)
        return Link(resize_flow(there, size), share)

    def _take(self, i: int, n: int, weight: Float[Tensor, "b 1 h w"] | None) -> None:
        """Compute the share of frame `n` in frame `i`, and let the weight of `i` grow by it."""
        assert weight is not None, "only the frame before the clip has a weight of its own"
        config, beta = self.config, self.config.beta
        there, back = self._pair(i, n)
        own, neighbour = (self._frames[:, :, self._before + k] for k in (i, n))
        trusted = trust(own, neighbour, there=there, back=back, config=config, scale=self._scale)
        moved = warp(weight, there, padding="border")
        both = beta * moved + (1 - beta) * self._weights[i]
        self._shares[i, n] = trusted * beta * moved / both
        self._weights[i] = (self._weights[i] + trusted * moved).clamp(max=config.count)

    def _pair(self, i: int, n: int) -> tuple[Float[Tensor, "b 2 h w"], Float[Tensor, "b 2 h w"]]:
        h, w = self._frames.shape[-2:]
        return _pair(self.flows, self._before + i, self._before + n, (h, w))


def trust(
    own: Float[Tensor, "b 3 h w"],
    neighbour: Float[Tensor, "b 3 h w"],
    *,
    there: Float[Tensor, "b 2 h w"],
    back: Float[Tensor, "b 2 h w"],
    config: PropagationConfig,
    scale: float,
) -> Float[Tensor, "b 1 h w"]:
    """Returns how far the flow between two small frames in [-1, 1] can be trusted, in [0, 1].

    M exp(-d / gate) with M the consistency of the round trip, whose bounds are in pixels of maps
    `scale` times larger, and d the mean difference of brightness along the flow, in grey levels,
    over squares of 3x3 pixels.
    """
    assert config.gate is not None, "without a gate the round trip alone is trusted"
    valid = consistent(there, back, alpha1=config.alpha1, alpha2=config.alpha2 / scale**2)
    moved = warp(neighbour, there, mode="bicubic", padding="border")
    return valid * torch.exp(-mean_difference(brightness_difference(own, moved)) / config.gate)


def brightness_difference(
    own: Float[Tensor, "b 3 h w"], moved: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, "b 1 h w"]:
    """Returns the signed difference of brightness of two frames in [-1, 1], in grey levels."""
    return (own - moved).mean(dim=1, keepdim=True) / _GREY_LEVEL


def mean_difference(difference: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Returns the mean of |difference| over squares of 3x3 pixels."""
    margin = _NEIGHBOURHOOD // 2
    padded = F.pad(difference.abs(), (margin,) * 4, mode="replicate")
    return F.avg_pool2d(padded, _NEIGHBOURHOOD, stride=1)


def _pair(
    flows: Flows, i: int, n: int, size: tuple[int, int]
) -> tuple[Float[Tensor, "b 2 h w"], Float[Tensor, "b 2 h w"]]:
    """The flow from frame `i` to its neighbour `n`, and back, for maps of `size`."""
    forward, backward = flows.pair(min(i, n), size)
    return (forward, backward) if n > i else (backward, forward)
