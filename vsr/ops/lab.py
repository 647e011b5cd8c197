"""Colour transfer in CIELAB: the chroma of large frames takes the values of the small ones."""

import torch
from jaxtyping import Float
from torch import Tensor

from vsr.ops.color import LEVELS, low_band

_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
"""From linear sRGB (IEC 61966-2-1), with the white of D65."""
_WHITE = (0.95047, 1.0, 1.08883)
_DELTA = 6 / 29
_OWN_LIGHTNESS = 0.8
_SIDES_OF_DILATION = 8
"""The widest kernel of the wavelet reaches over an eighth of the shorter side at most."""


def match_lab(
    frames: Float[Tensor, "t 3 h w"], reference: Float[Tensor, "t 3 h w"]
) -> Float[Tensor, "t 3 h w"]:
    """Returns `frames` in [-1, 1] with the colours of `reference`, as SeedVR2's usual node has it.

    After the wavelet transfer, a and b of CIELAB take the values of the reference rank for rank,
    and the lightness a fifth of them. Ranks run over all frames given: a film whose colours must
    not step where clips meet is given frame by frame.
    """
    limit = max(min(frames.shape[-2:]) // _SIDES_OF_DILATION, 1)
    base = (frames + low_band(reference - frames, LEVELS, widest=limit)).clamp(-1, 1)
    own, wanted = to_lab(base / 2 + 0.5), to_lab(reference.clamp(-1, 1) / 2 + 0.5)
    matched = torch.stack([_ranked(own[:, c], wanted[:, c]) for c in range(3)], dim=1)
    matched[:, 0] = _OWN_LIGHTNESS * own[:, 0] + (1 - _OWN_LIGHTNESS) * matched[:, 0]
    return (from_lab(matched) * 2 - 1).clamp(-1, 1)


def to_lab(rgb: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t 3 h w"]:
    """Returns L, a, b of sRGB values in [0, 1]."""
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    x, y, z = (_rows(linear, rgb.new_tensor(_TO_XYZ)) / _white(rgb)).unbind(dim=1)
    x, y, z = (_compressed(v) for v in (x, y, z))
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def from_lab(lab: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t 3 h w"]:
    """Returns the sRGB values of L, a, b, clamped to [0, 1]."""
    lightness, a, b = lab.unbind(dim=1)
    y = (lightness + 16) / 116
    xyz = _expanded(torch.stack([y + a / 500, y, y - b / 200], dim=1)) * _white(lab)
    linear = _rows(xyz, torch.linalg.inv(lab.new_tensor(_TO_XYZ)))
    curved = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, curved, 12.92 * linear).clamp(0, 1)


def _ranked(x: Tensor, reference: Tensor) -> Tensor:
    """The values of `reference` in the order of those of `x`."""
    order = x.flatten().argsort(stable=True)
    out = torch.empty_like(x).flatten()
    out[order] = reference.flatten().sort().values
    return out.reshape(x.shape)


def _compressed(t: Tensor) -> Tensor:
    return torch.where(
        t > _DELTA**3, t.clamp(min=_DELTA**3) ** (1 / 3), t / (3 * _DELTA**2) + 4 / 29
    )


def _expanded(t: Tensor) -> Tensor:
    return torch.where(t > _DELTA, t**3, 3 * _DELTA**2 * (t - 4 / 29))


def _rows(x: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("dc,tchw->tdhw", matrix, x)


def _white(like: Tensor) -> Tensor:
    return like.new_tensor(_WHITE).view(1, 3, 1, 1)
