"""Rotary positions (Su et al. 2021): neighbouring channel pairs turn by angles of their place."""

import torch
from jaxtyping import Float
from torch import Tensor


def rotary_frequencies(dim: int, *, theta: float = 10000.0) -> Float[Tensor, " f"]:
    """theta^(-2k / dim) for the dim / 2 channel pairs (Su et al. 2021)."""
    return theta ** (-torch.arange(0, dim, 2).float() / dim)


def rotate(x: Float[Tensor, "*n heads d"], angles: Float[Tensor, "*p f"]) -> Tensor:
    """Rotate the first f neighbouring channel pairs of each head by their angles."""
    turned, rest = x[..., : 2 * angles.shape[-1]], x[..., 2 * angles.shape[-1] :]
    cos = angles.cos().repeat_interleave(2, dim=-1).to(x.dtype).unsqueeze(-2)
    sin = angles.sin().repeat_interleave(2, dim=-1).to(x.dtype).unsqueeze(-2)
    even, odd = turned[..., 0::2], turned[..., 1::2]
    across = torch.stack([-odd, even], dim=-1).flatten(-2)
    turned = turned * cos + across * sin
    return turned if rest.shape[-1] == 0 else torch.cat([turned, rest], dim=-1)


def axis_angles(t: int, h: int, w: int, head_dim: int, *, device: torch.device) -> Tensor:
    """Angles `t h w f` of the channel pairs, theta 100: windows are a few tokens wide."""
    pairs = head_dim // 2
    shares = (pairs - 2 * (pairs * 3 // 8), pairs * 3 // 8, pairs * 3 // 8)
    axes = []
    for axis, (size, share) in enumerate(zip((t, h, w), shares, strict=True)):
        frequencies = rotary_frequencies(2 * share, theta=100.0).to(device)
        angle = torch.arange(size, device=device)[:, None] * frequencies
        shape = [1, 1, 1, share]
        shape[axis] = size
        axes.append(angle.reshape(shape).expand(t, h, w, share))
    return torch.cat(axes, dim=-1)
