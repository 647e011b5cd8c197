"""Rotary positions by another formula than the networks' own."""

import torch


def turned(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Rotary positions as products of complex numbers; x: n heads tokens d, angles: tokens f."""
    f = angles.shape[-1]
    pairs = torch.view_as_complex(x[..., : 2 * f].unflatten(-1, (f, 2)).contiguous())
    turned = torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)
    return torch.cat([turned, x[..., 2 * f :]], dim=-1)
