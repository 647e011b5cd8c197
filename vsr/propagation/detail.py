"""Fine detail that averaging along time has blurred gets its contrast back."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vsr.ops.filters import gaussian_half, smooth

_ENERGY_REDUCTION = 4
_NO_ENERGY = 1e-8
"""Far below one step of 8 bits, (2/255)^2 = 6e-5: flat places keep a gain of 1."""


def restore_high_band(
    fused: Float[Tensor, "b c h w"],
    original: Float[Tensor, "b c h w"],
    *,
    sigma: float = 1.5,
    energy_sigma: float = 8.0,
    max_gain: float = 2.0,
) -> Float[Tensor, "b c h w"]:
    """Returns the `fused` frame with the local energy of fine detail that `original` has.

    detail(x) = x - G_sigma x;  energy(x) = G_energy_sigma |detail(x)|^2;
    gain = sqrt(energy(original) / energy(fused)) in [1, max_gain];
    out = fused + (gain - 1) detail(fused).
    Energies are summed over the channels and taken on maps a quarter as high and wide. Averaging
    along time blurs; this gives back the contrast, not the flicker (measured by this project).
    """
    fine = gaussian_half(sigma)
    coarse = gaussian_half(energy_sigma / _ENERGY_REDUCTION)
    h, w = fused.shape[-2:]
    size = (-(-h // _ENERGY_REDUCTION), -(-w // _ENERGY_REDUCTION))
    found, wanted = (fused.new_zeros(fused.shape[0], 1, *size) for _ in range(2))
    detail = torch.empty_like(fused)
    for i in range(fused.shape[1]):  # one colour at a time, to save memory
        own, other = (x[:, i : i + 1] for x in (fused, original))
        detail[:, i : i + 1] = own - smooth(own, fine)
        found += local_energy(detail[:, i : i + 1], size, coarse)
        wanted += local_energy(other - smooth(other, fine), size, coarse)
    gain = torch.sqrt((wanted + _NO_ENERGY) / (found + _NO_ENERGY)).clamp(1, max_gain)
    gain = F.interpolate(gain, (h, w), mode="bilinear", align_corners=False)
    return torch.addcmul(fused, gain - 1, detail)


def local_energy(
    detail: Float[Tensor, "b c h w"], size: tuple[int, int], blur: tuple[float, ...]
) -> Float[Tensor, "b 1 h2 w2"]:
    """Returns the energy of detail, summed over channels, on a map of `size`, smoothed by `blur`.

    `blur` is the right half of a kernel; see `vsr.ops.filters.smooth`.
    """
    squared = detail.square().sum(dim=1, keepdim=True)
    return smooth(F.adaptive_avg_pool2d(squared, size), blur)
