"""Rotary positions (Su et al. 2021): neighbouring channel pairs turn by angles of their place."""

from collections.abc import Sequence

import torch
from jaxtyping import Complex, Float
from torch import Tensor


def rotary_frequencies(dim: int, *, theta: float = 10000.0) -> Float[Tensor, " f"]:
    """theta^(-2k / dim) for the dim / 2 channel pairs (Su et al. 2021)."""
    return theta ** (-torch.arange(0, dim, 2).float() / dim)


def rotate(x: Float[Tensor, "*n heads d"], angles: Float[Tensor, "*p f"]) -> Tensor:
    """Rotate the first f neighbouring channel pairs of each head by their angles."""
    return rotate_by(x, as_turns(angles))


def rotate_by(x: Float[Tensor, "*n heads d"], turns: Complex[Tensor, "*p 1 f"]) -> Tensor:
    """Like `rotate`, by the turns of the angles, which several maps can share."""
    first, rest = x[..., : 2 * turns.shape[-1]], x[..., 2 * turns.shape[-1] :]
    first = turned(first, turns)
    return first if rest.shape[-1] == 0 else torch.cat([first, rest], dim=-1)


def as_turns(angles: Float[Tensor, "*p f"]) -> Complex[Tensor, "*p 1 f"]:
    """Returns exp(i angle), by which `turned` multiplies the channel pairs of every head."""
    return torch.polar(torch.ones_like(angles), angles).unsqueeze(-2)


def turned(x: Float[Tensor, "*n heads d"], turns: Complex[Tensor, "*p 1 f"]) -> Tensor:
    """Returns `x` with all channel pairs turned in float32, in its own number format again.

    Each pair is multiplied as one complex number: a third of the time of products with tables of
    cosines and sines in bfloat16.
    """
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)


def axis_angles(t: int, h: int, w: int, head_dim: int, *, device: torch.device) -> Tensor:
    """Angles `t h w f` of the channel pairs, theta 100: windows are a few tokens wide."""
    pairs = head_dim // 2
    shares = (pairs - 2 * (pairs * 3 // 8), pairs * 3 // 8, pairs * 3 // 8)
    axes: list[Tensor] = []
    for size, share in zip((t, h, w), shares, strict=True):
        frequencies = rotary_frequencies(2 * share, theta=100.0).to(device)
        axes.append(torch.arange(size, device=device)[:, None] * frequencies)
    return angle_grid(axes)


def angle_grid(axes: Sequence[Float[Tensor, "_n _f"]]) -> Float[Tensor, "t h w f"]:
    """Angles of a grid of tokens: the channel pairs of t, then those of h, then those of w."""
    t, h, w = (len(axis) for axis in axes)
    shapes = ((t, 1, 1), (1, h, 1), (1, 1, w))
    spread = [
        axis.reshape(*shape, -1).expand(t, h, w, -1)
        for axis, shape in zip(axes, shapes, strict=True)
    ]
    return torch.cat(spread, dim=-1)
