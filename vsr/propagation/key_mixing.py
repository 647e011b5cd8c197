"""Mixing: the detail of several keys, carried to one frame of the base model."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vsr.ops.filters import gaussian_half, smooth
from vsr.ops.flow import resize_flow, warp
from vsr.propagation.key_places import bounds
from vsr.propagation.keys import FAINT, Key, detail_energy, enlarged

_FEATHER = gaussian_half(0.75)
_MAX_GAIN = 2.0
_NO_ENERGY = 1e-5
"""Squared step of 8 bits: flat places keep a gain of 1."""
_HALF_SURE = 0.2
"""Confidence at which a key counts half as much as one that is sure."""

Region = tuple[slice, slice]
"""Rows and columns."""
_EVERYWHERE: Region = (slice(None), slice(None))


@dataclass(frozen=True, slots=True)
class _Shown:
    """A key with its smoothed confidence c_k, and its share of the frame before normalisation."""

    key: Key
    trust: Float[Tensor, "1 1 h w"]
    share: Float[Tensor, "1 1 h w"]


def mix_keys(
    base: Float[Tensor, "1 3 h4 w4"],
    keys: Sequence[Key],
    number: int,
    *,
    limit: Float[Tensor, "1 1 h w"],
    strength: float,
    sigma: float,
    gain: float,
) -> tuple[Float[Tensor, "1 3 h4 w4"], Float[Tensor, "1 1 h w"]]:
    """Returns frame `number` with the detail of the keys, and the confidence c, at most `limit`.

    The equations are those of `vsr.propagation.keyframes`.
    """
    shown = _shown(keys, number)
    if not shown:
        return base, torch.zeros_like(limit)
    c = torch.minimum(torch.stack([one.trust for one in shown]).amax(dim=0), limit)
    own = base - smooth(base, gaussian_half(sigma))
    change = _detail(shown, base).mul_(gain).sub_(own)
    out = torch.addcmul(base, change, enlarged(strength * c, _size(base)))
    return out.clamp_(-1, 1), c


def _shown(keys: Sequence[Key], number: int) -> list[_Shown]:
    shown: list[_Shown] = []
    for key in keys:
        if (n := key.weight(number)) > 0:
            trust = smooth(key.trust, _FEATHER)
            shown.append(_Shown(key, trust, n * trust / (trust + _HALF_SURE) + 1e-6))
    return shown


def _detail(shown: Sequence[_Shown], base: Tensor) -> Float[Tensor, "1 3 h4 w4"]:
    """Returns the mean of the keys' detail, with the energy that mixing takes from it."""
    if len(shown) == 1:
        return _moved(shown[0].key, _EVERYWHERE, base)
    total = torch.stack([one.share for one in shown]).sum(dim=0)
    detail = torch.zeros_like(base)
    energy, alone = torch.zeros_like(total), torch.zeros_like(total)
    for one in shown:
        part = one.share / total
        rows, columns = region = _region(one, base)
        weight = enlarged(part, _size(base))[..., rows, columns]
        detail[..., rows, columns].addcmul_(_moved(one.key, region, base), weight)
        energy += part * warp(one.key.energy, one.key.flow.there, padding="border")
        alone += part.square()
    gain = torch.sqrt((energy + _NO_ENERGY) / (detail_energy(detail, energy) + _NO_ENERGY))
    mixed = (2 * (1 - alone)).clamp(0, 1)  # 0 where one key is shown, 1 where two are, equally
    gain = torch.lerp(torch.ones_like(gain), gain.clamp(1, _MAX_GAIN), mixed)
    return detail.mul_(enlarged(gain, _size(base)))


def _moved(key: Key, region: Region, base: Tensor) -> Float[Tensor, "1 3 h2 w2"]:
    """Returns the key's detail where a region of the large frame shows it."""
    rows, columns = region
    flow = resize_flow(key.flow.there, _size(base))[..., rows, columns]
    detail = key.detail.to(base.dtype)
    origin = (rows.start or 0, columns.start or 0)
    return warp(detail, flow, mode="bicubic", padding="border", origin=origin)


def _region(one: _Shown, base: Tensor) -> Region:
    """Returns the part of the large frame in which a key is seen; all of it for a whole frame."""
    if one.key.is_whole:
        return _EVERYWHERE
    seen = one.trust[0, 0] > FAINT
    box = bounds(seen)
    if box is None:
        return slice(0, 0), slice(0, 0)
    box, scale = box.grown(1, _size(seen)), base.shape[-2] // seen.shape[-2]
    return slice(scale * box.top, scale * box.bottom), slice(scale * box.left, scale * box.right)


def _size(x: Tensor) -> tuple[int, int]:
    return x.shape[-2], x.shape[-1]
