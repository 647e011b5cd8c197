"""Flow-guided recurrent fusion of latents or pixels along time: training-free, pure functions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vsr.errors import ConfigError
from vsr.ops.flow import WarpMode, WarpPadding, warp

_LARGEST_AT_ONCE = 1 << 21
_STRIPS = 8
"""Frames of more places are warped in so many strips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PropagationConfig:
    """The trust in neighbouring frames; defaults are those of the published Upscale-A-Video.

    `beta` is the share of the neighbour; `alpha1` (relative) and `alpha2` (square pixels) bound the
    round trip of the flow. `padding` "border" suits interpolating modes, whose kernels reach over
    the border. `gate`: how much the small frames may differ along the flow, in grey levels, before
    the neighbour loses its share; None trusts the round trip alone, as published. `count`: with a
    gate, a frame that has taken in frames that agree counts as up to this many frames itself.
    """

    beta: float = 0.5
    alpha1: float = 0.001
    alpha2: float = 0.05
    mode: WarpMode = "nearest"
    padding: WarpPadding = "zeros"
    direction: Literal["both", "forward"] = "both"
    gate: float | None = None
    count: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.beta <= 1:
            raise ConfigError(f"propagation beta must lie in [0, 1], found {self.beta}")
        if min(self.alpha1, self.alpha2) < 0:
            raise ConfigError(
                f"propagation alphas must not be negative, found {self.alpha1 = }, {self.alpha2 = }"
            )
        if self.gate is not None and self.gate <= 0:
            raise ConfigError(f"propagation gate must be above 0 or null, found {self.gate}")
        if self.count < 1 or (self.count > 1 and self.gate is None):
            raise ConfigError(
                f"propagation count must be at least 1, and 1 without a gate, found {self.count}"
            )


@dataclass(frozen=True, slots=True)
class Link:
    """The way from a frame to its neighbour, for maps of one size."""

    flow: Float[Tensor, "b 2 h w"]
    share: Float[Tensor, "b 1 h w"]
    """The neighbour's share in the fused frame, in [0, 1]."""


def propagate_frames(
    frames: list[Float[Tensor, "b c h w"]],
    links: Callable[[int, int], Link],
    *,
    config: PropagationConfig,
    previous: Float[Tensor, "b c h w"] | None = None,
) -> Iterator[Float[Tensor, "b c h w"]]:
    """Yields the frames fused along their motion: first a backward pass, then a forward pass.

    z_i <- s warp(z_n, f) + (1 - s) z_i for the neighbour n = i + 1, then n = i - 1, with f the flow
    from frame i to n and s the neighbour's share. With s = beta times the consistency M of the
    flow these are equations 1 and 2 of Upscale-A-Video (Zhou et al. 2023), as its published code
    runs them.

    `links(i, n)` is asked for when it is needed. With `previous`, the fused frame before the clip,
    the forward pass begins there, as frame -1. The entries of `frames` are replaced, then taken
    out: large frames would not fit into memory several times.

    Clips that hand on their last frame give what one long run gives
    - exactly, for direction "forward": nothing comes from the future;
    - for "both", up to the frames after the clip: a frame misses the share beta^(k+1) and below
      that those more than k frames behind it would have given.
    """
    if config.direction == "both":
        for i in range(len(frames) - 2, -1, -1):
            frames[i] = fuse(frames[i], frames[i + 1], links(i, i + 1), config=config)
    for i in range(len(frames)):
        own = frames.pop(0)
        previous = own if previous is None else fuse(own, previous, links(i, i - 1), config=config)
        yield previous


def fuse(
    own: Float[Tensor, "b c h w"],
    neighbour: Float[Tensor, "b c h w"],
    link: Link,
    *,
    config: PropagationConfig,
) -> Float[Tensor, "b c h w"]:
    """Returns `own` mixed with the warped neighbour by the neighbour's share.

    Large frames are warped in strips of rows, since the places where a whole one is read would
    take as much memory as the frame.
    """
    rows = own.shape[2]
    height = rows if own[0, 0].numel() <= _LARGEST_AT_ONCE else -(-rows // _STRIPS)
    out = torch.empty_like(own)
    neighbour = neighbour.float()
    for top in range(0, rows, height):
        strip = slice(top, top + height)
        flow, share = link.flow[:, :, strip], link.share[:, :, strip].to(own.dtype)
        moved = warp(neighbour, flow, mode=config.mode, padding=config.padding, origin=(top, 0)).to(
            own.dtype
        )
        out[:, :, strip] = torch.lerp(own[:, :, strip], moved, share)
    return out
