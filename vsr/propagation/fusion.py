"""Flow-guided recurrent fusion of latents or pixels along time: training-free, pure functions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vsr.errors import ConfigError
from vsr.ops.flow import WarpMode, WarpPadding, consistent, warp


@dataclass(frozen=True, slots=True, kw_only=True)
class PropagationConfig:
    """The trust in neighbouring frames; defaults are those of the published Upscale-A-Video.

    `beta` is the share of the neighbour; `alpha1` (relative) and `alpha2` (square pixels) bound the
    round trip of the flow. `padding` "border" suits interpolating modes, whose kernels reach over
    the border.
    """

    beta: float = 0.5
    alpha1: float = 0.001
    alpha2: float = 0.05
    mode: WarpMode = "nearest"
    padding: WarpPadding = "zeros"
    direction: Literal["both", "forward"] = "both"

    def __post_init__(self) -> None:
        if not 0 <= self.beta <= 1:
            raise ConfigError(f"propagation beta must lie in [0, 1], found {self.beta}")
        if min(self.alpha1, self.alpha2) < 0:
            raise ConfigError(
                f"propagation alphas must not be negative, found {self.alpha1 = }, {self.alpha2 = }"
            )


def propagate_frames(
    frames: list[Float[Tensor, "b c h w"]],
    flows: Callable[[int], tuple[Float[Tensor, "b 2 h w"], Float[Tensor, "b 2 h w"]]],
    *,
    config: PropagationConfig,
    previous: Float[Tensor, "b c h w"] | None = None,
) -> Iterator[Float[Tensor, "b c h w"]]:
    """Yields the frames fused along their motion: first a backward pass, then a forward pass.

    z_i <- M (beta warp(z_n, f) + (1 - beta) z_i) + (1 - M) z_i for the neighbour n = i + 1, then
    n = i - 1, with f the flow from frame i to n and M its consistency (Upscale-A-Video, Zhou et al.
    2023, eq. 1 and 2, as its published code runs them).

    `flows(k)` is pair k, forward and backward, asked for when it is needed. With `previous`, the
    fused frame before the clip, the forward pass begins there, and pair 0 leads from it to the
    first frame. The entries of `frames` are replaced on the way: large frames would not fit into
    memory several times.

    Clips that hand on their last frame give what one long run gives
    - exactly, for direction "forward": nothing comes from the future;
    - for "both", up to the frames after the clip: a frame misses the share beta^(k+1) and below
      that those more than k frames behind it would have given.
    """
    before = 0 if previous is None else 1
    if config.direction == "both":
        for i in range(len(frames) - 2, -1, -1):
            forward, backward = flows(i + before)
            frames[i] = fuse(frames[i], frames[i + 1], there=forward, back=backward, config=config)
    for i, own in enumerate(frames):
        if previous is not None:
            forward, backward = flows(i - 1 + before)
            frames[i] = fuse(own, previous, there=backward, back=forward, config=config)
        previous = frames[i]
        yield previous


def fuse(
    own: Float[Tensor, "b c h w"],
    neighbour: Float[Tensor, "b c h w"],
    *,
    there: Float[Tensor, "b 2 h w"],
    back: Float[Tensor, "b 2 h w"],
    config: PropagationConfig,
) -> Float[Tensor, "b c h w"]:
    """Returns `own` mixed with the warped neighbour where the flow `there` and `back` agrees."""
    valid = consistent(there, back, alpha1=config.alpha1, alpha2=config.alpha2)
    moved = warp(neighbour, there, mode=config.mode, padding=config.padding)
    return torch.where(valid, torch.lerp(own, moved.to(own.dtype), config.beta), own)
