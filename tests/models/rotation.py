"""Rotary positions by another formula than the networks' own."""

import torch


def turned(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Pairs of the first channels turned by cosines and sines; x: ... d, angles: ... f."""
    f = angles.shape[-1]
    cos, sin = angles.cos(), angles.sin()
    even, odd = x[..., : 2 * f : 2], x[..., 1 : 2 * f : 2]
    both = torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1).flatten(-2)
    return torch.cat([both, x[..., 2 * f :]], dim=-1)
