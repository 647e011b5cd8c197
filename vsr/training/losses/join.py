"""The target of the joining network: a strong network's texture on the true tones."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vsr.ops.filters import gaussian_half, smooth

_FINE = gaussian_half(1.5)
_AROUND = gaussian_half(4.0)
_FLOOR = (2 / 127.5) ** 2
"""Square error of two grey levels, which counts for nothing."""


def joined_target(
    strong: Float[Tensor, "b 3 h4 w4"],
    truth: Float[Tensor, "b 3 h4 w4"],
    lr: Float[Tensor, "b 3 h w"],
    *,
    cutoff_sigma: float = 1.5,
    strong_share: float = 1.0,
) -> Float[Tensor, "b 3 h4 w4"]:
    """Return the truth below a cut-off and the strong network's frame above it.

    T = G t + a (s - G s) + (1 - a) (t - G t), with G of sigma `cutoff_sigma`. The share a falls
    where the strong network is wrong: it is `strong_share` while its square error against the
    truth, averaged over sigma 4, is at most twice that of the enlarged small frame (texture in
    another place has that much), and 0 from four times on.
    """
    plain = F.interpolate(lr, scale_factor=4, mode="bicubic", align_corners=False)
    wrong = smooth((strong - truth).square().mean(dim=1, keepdim=True), _AROUND)
    usual = smooth((plain - truth).square().mean(dim=1, keepdim=True), _AROUND) + _FLOOR
    share = strong_share * (2 - wrong / (2 * usual)).clamp(0, 1)
    difference = strong - truth
    return truth + share * (difference - smooth(difference, gaussian_half(cutoff_sigma)))


def coarse_error(
    output: Float[Tensor, "b 3 h4 w4"],
    truth: Float[Tensor, "b 3 h4 w4"],
    *,
    cutoff_sigma: float = 1.5,
) -> Float[Tensor, ""]:
    """Return the L1 below the cut-off of `joined_target`, where the truth alone counts."""
    return smooth(output - truth, gaussian_half(cutoff_sigma)).abs().mean()


def sharpness(
    frames: Float[Tensor, "b 3 h4 w4"], reference: Float[Tensor, "b 3 h4 w4"]
) -> Float[Tensor, ""]:
    """Return the root mean square above sigma 1.5, relative to that of the reference."""
    own, other = ((x - smooth(x, _FINE)).square().mean() for x in (frames, reference))
    return torch.sqrt(own / other.clamp(min=1e-8))
