"""Colour transfer from the small frames to the large ones, frame by frame."""

import torch
from jaxtyping import Float
from torch import Tensor

from vsr.ops.filters import smooth

_EPSILON = 1e-5
_BINOMIAL = (0.5, 0.25)  # right half of [1, 2, 1] / 4
LEVELS = 5
LUMA = (0.299, 0.587, 0.114)  # BT.601
_LEVEL = 2 / 255
_FLAT_STD, _FLAT_RANGE = 1.0 * _LEVEL, 6.0 * _LEVEL
"""Chroma is flat within the rounding and noise of a codec, in grey levels."""


def match_adain(
    frames: Float[Tensor, "*n h w"], reference: Float[Tensor, "*n h2 w2"]
) -> Float[Tensor, "*n h w"]:
    """`frames` with the mean and the standard deviation of `reference`, per frame and channel.

    (x - mean(x)) / std(x) * std(r) + mean(r), Huang & Belongie 2017, eq. 8; std is the root of the
    unbiased variance + 1e-5, as StableSR (Wang et al. 2023) has it. Sizes may differ.
    """
    mean, std = _moments(frames)
    reference_mean, reference_std = _moments(reference)
    return (frames - mean) / std * reference_std + reference_mean


def match_wavelet(
    frames: Float[Tensor, "*n h w"], reference: Float[Tensor, "*n h w"], *, levels: int = LEVELS
) -> Float[Tensor, "*n h w"]:
    """`frames` with the low band of `reference`: x - low(x) + low(r).

    low() is an undecimated wavelet approximation: `levels` times the kernel [1 2 1] / 4 in both
    directions, dilated by 1, 2, 4, ..., borders replicated (StableSR, Wang et al. 2023, section
    3.4). It is linear, so low(r - x) is filtered once. Sigma at 5 levels: 13 pixels.
    """
    out = torch.empty_like(frames).flatten(0, -3)
    planes = zip(frames.flatten(0, -3), reference.flatten(0, -3), strict=True)
    for i, (plane, target) in enumerate(planes):  # one plane at a time stays in the cache of a CPU
        out[i] = plane + low_band(target - plane, levels)
    return out.reshape(frames.shape)


def low_band(
    x: Float[Tensor, "*n h w"], levels: int, *, widest: int | None = None
) -> Float[Tensor, "*n h w"]:
    """Returns the low band of `match_wavelet`; `widest` limits the dilation of its kernels."""
    for level in range(levels):
        dilation = 2**level if widest is None else min(2**level, widest)
        x = smooth(x, _BINOMIAL, dilation=dilation)
    return x


def luma(rgb: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1 h w"]:
    """Returns the luma of ITU-R BT.601."""
    return (rgb * rgb.new_tensor(LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def keep_flat_chroma(
    frames: Float[Tensor, "t 3 h w"], reference: Float[Tensor, "t 3 h2 w2"]
) -> Float[Tensor, "t 3 h w"]:
    """Returns `frames` in [-1, 1] without colours where those of `reference` have none.

    A frame of the reference whose red and blue differ from its green by the same everywhere is grey
    or tinted as a whole: its large frame keeps its own luma and gets that tint. Other frames stay.
    """
    chroma = reference[:, [0, 2]] - reference[:, 1:2]
    mean = chroma.mean(dim=(-2, -1), keepdim=True)
    spread = (chroma - mean).abs().amax(dim=(1, 2, 3))
    flat = (chroma.std(dim=(-2, -1), correction=0).amax(dim=1) <= _FLAT_STD) & (
        spread <= _FLAT_RANGE
    )
    if not flat.any():
        return frames
    tint = reference.mean(dim=(-2, -1), keepdim=True).to(frames.dtype)
    tint = tint - luma(tint)
    tint = torch.where(tint.abs() < _LEVEL / 2, 0, tint)
    toned = luma(frames) + tint
    return torch.where(flat.view(-1, 1, 1, 1), toned.clamp(-1, 1), frames)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(x, dim=(-2, -1), keepdim=True)
    return mean, torch.sqrt(variance + _EPSILON)
