"""Flow-guided recurrent fusion of latents (or pixels) along time: training-free, pure functions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vsr.errors import ConfigError, InputError
from vsr.ops.filters import gaussian_half, smooth
from vsr.ops.flow import Flows, WarpMode, WarpPadding, consistent, warp

_ENERGY_REDUCTION = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PropagationConfig:
    """How far neighbours are trusted; the defaults are those of the published Upscale-A-Video.

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


@dataclass(frozen=True, slots=True)
class PropagationState:
    """What a clip hands to the next clip of its shot; a cut drops it."""

    latents: Float[Tensor, "b c h w"]
    """Fused latents of the last frame, at the last of the propagation steps."""
    frame: Float[Tensor, "b 3 h2 w2"]
    """The last small frame, from which flow to the next clip's first frame is estimated."""
    frames: int
    """Frames of the shot so far."""
    earlier: Float[Tensor, "steps b c h w"] | None = None
    """The latents at the propagation steps before the last one, where there are any."""

    def at(self, step: int) -> "PropagationState":
        """What the propagation step of that number, counted from 0, begins with."""
        if self.earlier is None or step >= len(self.earlier):
            return self
        return replace(self, latents=self.earlier[step])


def propagate(
    latents: Float[Tensor, "b c t h w"],
    flows: Flows,
    *,
    config: PropagationConfig,
    state: PropagationState | None = None,
    lookahead: int = 0,
) -> Float[Tensor, "b c t2 h w"]:
    """`latents` fused along their motion: a backward pass, then a forward pass on its result.

    Flows of another size are resized to that of the latents, pair by pair.

    z_i <- M (beta warp(z_n, f) + (1 - beta) z_i) + (1 - M) z_i for the neighbour n = i + 1, then
    n = i - 1, with f the flow from frame i to n and M its consistency (Upscale-A-Video, Zhou et al.
    2023, eq. 1 and 2, as its published code runs them).

    With a `state` the forward pass begins at the frame before the clip, and `flows` have one pair
    more, the first: from that frame to the clip's first. The last `lookahead` frames take part in
    the backward pass only and are not returned.

    Clips that hand on their state give what one long run gives
    - exactly, for direction "forward": nothing comes from the future;
    - exactly, for "both", when each clip looks ahead to the end of the shot, or to a pair whose
      flow holds nowhere; with less lookahead k a frame misses the share beta^(k+1) and below that
      the frames after it would have given.
    """
    check_pairs(latents, flows, state)
    stop = latents.shape[2] - lookahead
    if stop < 1:
        raise ConfigError(f"{lookahead = } leaves none of {latents.shape[2]} frames to return")
    fused = propagate_frames(
        list(latents.unbind(dim=2)),
        lambda k: flows.pair(k, (latents.shape[3], latents.shape[4])),
        config=config,
        state=state,
    )
    return torch.stack(list(islice(fused, stop)), dim=2)


def propagate_frames(
    frames: list[Float[Tensor, "b c h w"]],
    flows: Callable[[int], tuple[Float[Tensor, "b 2 h w"], Float[Tensor, "b 2 h w"]]],
    *,
    config: PropagationConfig,
    state: PropagationState | None = None,
) -> Iterator[Float[Tensor, "b c h w"]]:
    """What `propagate` returns, frame by frame; `flows(k)` is pair k, forward and backward.

    For frames too large to lie in memory several times: the entries of `frames` are replaced on the
    way, and a pair of flows is asked for when it is needed.
    """
    before = 0 if state is None else 1
    if config.direction == "both":
        for i in range(len(frames) - 2, -1, -1):
            forward, backward = flows(i + before)
            frames[i] = fuse(frames[i], frames[i + 1], there=forward, back=backward, config=config)
    previous = None if state is None else state.latents
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
    """`own` mixed with the neighbour's latents where the flow `there` and `back` again agrees."""
    valid = consistent(there, back, alpha1=config.alpha1, alpha2=config.alpha2)
    moved = warp(neighbour, there, mode=config.mode, padding=config.padding)
    return torch.where(valid, torch.lerp(own, moved.to(own.dtype), config.beta), own)


def check_pairs(
    latents: Float[Tensor, "b c t h w"], flows: Flows, state: PropagationState | None
) -> None:
    """Raise InputError unless there is a flow for every two neighbouring frames, both ways."""
    frames = latents.shape[2]
    expected = frames - (1 if state is None else 0)
    for way, flow in (("forward", flows.forward), ("backward", flows.backward)):
        if flow.shape[2] != expected:
            raise InputError(
                f"{way} flows do not fit the latents: found {flow.shape[2]} pairs, "
                f"{frames} frames{'' if state is None else ' after a state'} need {expected}"
            )


def carry_over(
    fused: Float[Tensor, "b c last h w"],
    frames: Float[Tensor, "b 3 t h2 w2"],
    *,
    state: PropagationState | None = None,
    earlier: Sequence[Float[Tensor, "b c h w"]] = (),
) -> PropagationState:
    """The state after a clip, from its fused latents (the last are enough) and small frames.

    `earlier`: fused latents of the last frame at the propagation steps before the last one.
    """
    so_far = 0 if state is None else state.frames
    return PropagationState(
        latents=fused[:, :, -1].clone(),  # a view would keep the whole clip in memory
        frame=frames[:, :, -1].clone(),
        frames=so_far + frames.shape[2],
        earlier=torch.stack(list(earlier)) if earlier else None,
    )


def restore_high_band(
    fused: Float[Tensor, "b c t h w"],
    original: Float[Tensor, "b c t h w"],
    *,
    sigma: float = 1.5,
    energy_sigma: float = 8.0,
    max_gain: float = 2.0,
) -> Float[Tensor, "b c t h w"]:
    """`fused` pixel frames whose detail has again the local energy that `original` has.

    detail(x) = x - G_sigma x;  energy(x) = G_energy_sigma |detail(x)|^2;
    gain = sqrt(energy(original) / energy(fused)) in [1, max_gain];
    out = fused + (gain - 1) detail(fused).
    Energies are summed over the channels and taken on maps a quarter as high and wide. Averaging
    along time blurs; this gives back the contrast, not the flicker (measured by this project).
    """
    out = torch.empty_like(fused)
    fine = gaussian_half(sigma)
    coarse = gaussian_half(energy_sigma / _ENERGY_REDUCTION)
    for i in range(fused.shape[2]):
        detail = fused[:, :, i] - smooth(fused[:, :, i], fine)
        target = original[:, :, i] - smooth(original[:, :, i], fine)
        gain = torch.sqrt(_energy(target, coarse) / _energy(detail, coarse)).clamp(1, max_gain)
        gain = F.interpolate(gain, detail.shape[-2:], mode="bilinear", align_corners=False)
        out[:, :, i] = torch.addcmul(fused[:, :, i], gain - 1, detail)
    return out


def _energy(detail: Tensor, blur: tuple[float, ...]) -> Tensor:
    squared = detail.square().sum(dim=1, keepdim=True)
    h, w = squared.shape[-2:]
    size = (-(-h // _ENERGY_REDUCTION), -(-w // _ENERGY_REDUCTION))
    # 1e-8 is far below one step of 8 bits, (2/255)^2 = 6e-5: flat places keep a gain of 1
    return smooth(F.adaptive_avg_pool2d(squared, size), blur) + 1e-8
