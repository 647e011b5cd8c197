"""A textured plane that moves: large frames, and what a base model would make of the small ones."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.ops.filters import gaussian_half, smooth

SCALE = 4
SIZE = (48, 64)
"""Of small frames."""


def plane(seed: int = 0, margin: int = 24) -> Tensor:
    """A large picture, wider than a frame by `margin` small pixels, with detail at all scales."""
    torch.manual_seed(seed)
    h, w = (SCALE * (side + margin) for side in SIZE)
    picture = torch.zeros(1, 3, h, w)
    for cell in (32, 8, 2):
        noise = torch.rand(1, 1, -(-h // cell) + 1, -(-w // cell) + 1) - 0.5
        large = F.interpolate(noise, scale_factor=cell, mode="bicubic")[..., :h, :w]
        picture = picture + large * (0.9 if cell > 2 else 0.5)
    return picture.clamp(-1, 1)


def moving(frames: int, step: tuple[int, int], seed: int = 0) -> Tensor:
    """`t 3 h4 w4`: the plane, moved by `step` large pixels (rows, columns) from frame to frame."""
    picture = plane(seed)
    h, w = (SCALE * side for side in SIZE)
    return torch.cat(
        [picture[..., t * step[0] :, t * step[1] :][..., :h, :w] for t in range(frames)]
    )


def small(large: Tensor) -> Tensor:
    """`t 3 h w`."""
    return F.avg_pool2d(large, SCALE)


def soft(large: Tensor) -> Tensor:
    """`t 3 h4 w4`: the frames without their finest detail, as a base model makes them."""
    return torch.cat([smooth(frame[None], gaussian_half(2.0)) for frame in large])


def error(a: Tensor, b: Tensor, margin: int = 24) -> float:
    """Root mean square inside, in grey levels."""
    inside = (..., slice(margin, -margin), slice(margin, -margin))
    return float((a - b)[inside].square().mean().sqrt()) * 127.5
