"""Keys: frames of a shot, or parts of them, of which better pictures are known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vsr.ops.filters import gaussian_half, smooth
from vsr.ops.flow import warp
from vsr.propagation.detail import local_energy
from vsr.propagation.far_flow import FarFlow
from vsr.propagation.key_places import Box, bounds

FAINT = 1e-3
"""Confidence below which a part is not seen."""
_ENERGY_BLUR = gaussian_half(2.0)
_MARGIN = 16
"""Small pixels around a part in which flow to it is searched: motion from frame to frame."""


@dataclass(frozen=True, slots=True)
class Part:
    """A picture of a part of a frame, or of all of it for a box of None."""

    picture: Float[Tensor, "1 3 h2 w2"]
    box: Box | None = None


@dataclass(frozen=True)
class Key:
    """A frame of the shot of which pictures are known, and the flow from the newest frame to it."""

    number: int
    """Number of its frame in the shot."""
    parts: tuple[Part, ...]
    flow: FarFlow
    detail: Float[Tensor, "1 3 h4 w4"]
    """The part of the pictures above the Gaussian; zero outside their boxes."""
    energy: Float[Tensor, "1 1 h w"]
    """Local energy of the detail at the size of small frames."""
    mask: Float[Tensor, "1 1 h w"]
    """1 inside the boxes, falling to 0 at their borders."""
    rise: tuple[int, int]
    """Numbers of the frames from which it is shown, and from which it is shown fully."""
    fall: tuple[int, int] | None = None
    """The rise of the key that takes over from it."""

    @property
    def is_whole(self) -> bool:
        """True if all of the frame is known."""
        return self.parts[0].box is None

    @cached_property
    def trust(self) -> Float[Tensor, "1 1 h w"]:
        """The confidence c_k in what it shows, place by place of the newest frame."""
        if self.is_whole:
            return self.flow.confidence
        return self.flow.confidence * warp(self.mask, self.flow.there)

    @property
    def window(self) -> Box | None:
        """The box that holds it in its own frame and in the newest one; None: the whole frame."""
        if self.is_whole:
            return None
        seen = (torch.maximum(self.mask, self.trust) > FAINT)[0, 0]
        box = bounds(seen)
        return None if box is None else box.grown(_MARGIN, (seen.shape[-2], seen.shape[-1]))

    @property
    def is_seen(self) -> bool:
        """True if any of it can be trusted in the newest frame."""
        return bool((self.trust > FAINT).any())

    def weight(self, number: int) -> float:
        """Returns n_k at frame `number`, in [0, 1]."""
        return _risen(number, self.rise) * (1 - _risen(number, self.fall))


def make_key(
    number: int,
    small: Float[Tensor, "1 3 h w"],
    parts: Sequence[Part],
    *,
    scale: int,
    sigma: float,
) -> Key:
    """Returns the key of a frame from pictures of all or parts of it, at the frame itself."""
    h, w = small.shape[-2:]
    detail = small.new_zeros(1, 3, scale * h, scale * w)
    mask = torch.zeros_like(small[:, :1])
    rounded = tuple(replace(part, picture=_rounded(part.picture)) for part in parts)
    for part in rounded:
        own = part.picture - smooth(part.picture, gaussian_half(sigma))
        if part.box is None:
            detail, mask = own, torch.ones_like(mask)
            continue
        inside = part.box.mask(small)
        placed = part.box.placed(own, (h, w), scale)
        detail = torch.lerp(detail, placed, enlarged(inside, (scale * h, scale * w)))
        mask = torch.maximum(mask, inside)
    return Key(
        number=number,
        parts=rounded,
        flow=FarFlow.at(small),
        detail=detail.to(torch.float16),
        energy=detail_energy(detail, mask),
        mask=mask,
        rise=(number, number),
    )


def detail_energy(
    detail: Float[Tensor, "1 3 h4 w4"], like: Float[Tensor, "1 _ h w"]
) -> Float[Tensor, "1 1 h w"]:
    """Returns the local energy of detail at the size of `like`."""
    return local_energy(detail.float(), (like.shape[-2], like.shape[-1]), _ENERGY_BLUR)


def enlarged(x: Float[Tensor, "1 c h w"], size: tuple[int, int]) -> Float[Tensor, "1 c _ _"]:
    """Returns a map at a larger size (h, w)."""
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


def _risen(number: int, span: tuple[int, int] | None) -> float:
    if span is None or number < span[0]:
        return 0.0
    return min(1.0, (number - span[0] + 1) / (span[1] - span[0] + 1))


def _rounded(picture: Tensor) -> Tensor:
    """Returns a picture of 8 bits, so that a key that was stored gives the same detail."""
    return (torch.round(picture.clamp(-1, 1) * 127.5 + 127.5) / 127.5 - 1).contiguous()
