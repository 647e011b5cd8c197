"""Colour transfer from the small frames to the large ones, frame by frame."""

import torch
from jaxtyping import Float
from torch import Tensor

from vsr.ops.filters import smooth

_EPSILON = 1e-5
_BINOMIAL = (0.5, 0.25)  # right half of [1, 2, 1] / 4
LEVELS = 5


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
        out[i] = plane + _low_band(target - plane, levels)
    return out.reshape(frames.shape)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(x, dim=(-2, -1), keepdim=True)
    return mean, torch.sqrt(variance + _EPSILON)


def _low_band(x: Tensor, levels: int) -> Tensor:
    for level in range(levels):
        x = smooth(x, _BINOMIAL, dilation=2**level)
    return x
