"""Colour from references: the chroma of few frames, carried along the flow onto all of a shot.

Frame t gets, from the anchors k before and after it,

    w_k = n_k c_k                           c_k: confidence in the far flow from t to k
    C_t = sum w_k warp(C_k) / sum w_k       n_k: share of the anchor by its distance in time

and where c, the largest of the c_k, is lost, the colours of like luma nearby, or in the palettes of
the anchors. Flow is found on small frames; chroma is resampled once, at full size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vsr.ops.filters import gaussian_half, smooth
from vsr.ops.flow import resize_flow, warp
from vsr.propagation.far_flow import FarFlow
from vsr.propagation.keys import enlarged
from vsr.restoration.chroma import Chroma
from vsr.restoration.images import Luma, reduced
from vsr.restoration.palette import filled, palette_of

LONGEST_SIDE = 400
"""Flow is found on frames of at most this side."""

_SURE = 0.15
"""Confidence from which on carried chroma is shown as it is."""
_SUDDEN = 4.0
"""An anchor counts as fully there at one part in so many of its share."""
_TINY = 1e-6
_FEATHER = gaussian_half(1.0)
_CHROMA_NOISE = gaussian_half(1.2)
"""In pixels of the frame: the chroma of codecs is noisy, and eyes see little of its detail."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The chroma of a frame, at its full size, and its mean for each luma."""

    number: int
    chroma: Float[Tensor, "1 2 h w"]
    palette: Float[Tensor, "1 3 lumas 1 1"]

    @classmethod
    def of(cls, number: int, luma: Luma, chroma: Chroma) -> "Reference":
        """Return the reference for the frame of that luma."""
        planes = _as_tensor(chroma)
        return cls(number, planes.half(), palette_of(_as_tensor(luma), planes))


@dataclass(frozen=True, slots=True)
class Way:
    """The far flow from a frame to a reference, and the reference's share by distance in time."""

    reference: Reference
    there: Float[Tensor, "1 2 h w"]
    confidence: Float[Tensor, "1 1 h w"]
    share: float

    @classmethod
    def of(cls, reference: Reference, flow: FarFlow, share: float) -> "Way":
        """Return the way along `flow`."""
        return cls(reference, flow.there, flow.confidence, share)


@dataclass(frozen=True, slots=True)
class Carried:
    """The chroma of a frame, and the share of its places to which none could be carried."""

    chroma: Chroma
    lost: float


def small_frame(luma: Luma) -> Float[Tensor, "1 3 h2 w2"]:
    """Return the frame on which flow is found, in [-1, 1]."""
    small = 2 * _as_tensor(reduced(luma, LONGEST_SIDE)) - 1
    return small.expand(1, 3, *small.shape[-2:])


def carried(luma: Luma, small: Float[Tensor, "1 3 h w"], ways: Sequence[Way]) -> Carried:
    """Return the chroma of the frame `luma`, whose small frame is `small`."""
    large = _as_tensor(luma)
    size = (large.shape[-2], large.shape[-1])
    trusts = [smooth(way.confidence.float(), _FEATHER) for way in ways]
    shares = [way.share * trust + _TINY for way, trust in zip(ways, trusts, strict=True)]
    total = torch.stack(shares).sum(dim=0)
    chroma = torch.zeros(1, 2, *size)
    for way, share in zip(ways, shares, strict=True):
        flow = resize_flow(way.there.float(), size)
        moved = warp(way.reference.chroma.float(), flow, padding="border")
        chroma.addcmul_(moved, enlarged(share / total, size))
    if any(bool(way.there.any()) for way in ways):
        chroma = smooth(chroma, _CHROMA_NOISE)
    shown = [min(1.0, _SUDDEN * w.share) * trust for w, trust in zip(ways, trusts, strict=True)]
    c = torch.stack(shown).amax(dim=0)
    known = (c / _SURE).clamp(max=1)
    reduced_chroma = F.interpolate(chroma, small.shape[-2:], mode="area")
    fill = filled(
        (small[:, :1] + 1) / 2,
        reduced_chroma,
        known * c,
        palettes=[(way.share, way.reference.palette) for way in ways],
        large=large,
    )
    mixed = torch.lerp(fill, chroma, enlarged(known * known * (3 - 2 * known), size))
    return Carried(
        np.ascontiguousarray(mixed[0].permute(1, 2, 0).numpy()),
        float((known < 0.5).float().mean()),
    )


def _as_tensor(planes: Luma | Chroma) -> Float[Tensor, "1 n h w"]:
    tensor = torch.from_numpy(np.ascontiguousarray(planes))
    return tensor[None, None] if planes.ndim == 2 else tensor.permute(2, 0, 1)[None].contiguous()
