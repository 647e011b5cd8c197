"""Places of keys: the parts of a frame that no key shows, and how much may be drawn."""

from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from vsr.ops.filters import gaussian_half, smooth

_COVERED = 0.09
"""Confidence below which a place counts as not shown."""
_CLOSED = 5
"""Holes this many small pixels apart are one."""
_SMALLEST = 64
"""Holes of fewer small pixels are left: nobody sees them."""
_WORTH = 0.12
"""Share of a box that must be missing."""
_NARROW = 5
"""A strip of fewer small pixels, as a pan uncovers, waits until it has grown."""
_HALO = 12
"""Small pixels around a hole that are drawn with it: networks look around."""
_TRIMMED = 4
"""Of the halo, the outermost pixels are not shown."""
_WHOLE = 0.6
"""Share of a frame from which on all of it is drawn at once."""
_NEAR = gaussian_half(1.5)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of small pixels; `bottom` and `right` are not part of it."""

    top: int
    left: int
    bottom: int
    right: int

    def crop(self, x: Float[Tensor, "*n h w"]) -> Float[Tensor, "*n _ _"]:
        """Returns its part of a map of small pixels."""
        return x[..., self.top : self.bottom, self.left : self.right]

    def pasted(
        self, part: Float[Tensor, "*n _ _"], x: Float[Tensor, "*n h w"]
    ) -> Float[Tensor, "*n h w"]:
        """Returns a map of small pixels with this box of it replaced."""
        if part.shape == x.shape:
            return part
        pasted = x.clone()
        self.crop(pasted).copy_(part)
        return pasted

    def share(self, size: tuple[int, int]) -> float:
        """Returns its share of a frame of this height and width."""
        h, w = size
        return self.area / (h * w)

    @property
    def area(self) -> int:
        """Number of its small pixels."""
        return (self.bottom - self.top) * (self.right - self.left)

    def placed(
        self, x: Float[Tensor, "*n h2 w2"], size: tuple[int, int], scale: int
    ) -> Float[Tensor, "*n h4 w4"]:
        """Returns a map of its large pixels in the whole large frame, zero elsewhere."""
        h, w = size
        right, bottom = w - self.right, h - self.bottom
        border = [scale * side for side in (self.left, right, self.top, bottom)]
        return F.pad(x, border)

    def grown(self, margin: int, size: tuple[int, int]) -> "Box":
        """Returns the box with `margin` pixels more on each side, inside a map of this size."""
        h, w = size
        return Box(
            max(0, self.top - margin),
            max(0, self.left - margin),
            min(h, self.bottom + margin),
            min(w, self.right + margin),
        )

    def mask(self, small: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 1 h w"]:
        """Returns 1 inside, falling to 0 towards its borders, except where the frame ends too."""
        h, w = small.shape[-2:]
        rows = _ramp(self.top, self.bottom, h)
        columns = _ramp(self.left, self.right, w)
        return torch.outer(rows, columns)[None, None].to(small)


def bounds(seen: Bool[Tensor, "h w"]) -> Box | None:
    """Returns the smallest box around the places that are True; None where there are none."""
    rows, columns = (seen.any(dim=dim).nonzero() for dim in (1, 0))
    if not len(rows):
        return None
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


@dataclass(frozen=True, slots=True)
class KeyBudget:
    """The share of pixels that a shot has drawn, in frames, against what it may draw.

    The first frame is free; each frame adds its part, so that a shot of n frames draws at most
    1 + share n of them.
    """

    spent: float = 0.0
    allowed: float = 1.0

    def next(self, share: float) -> Self:
        """Returns the budget of the next frame."""
        return replace(self, allowed=self.allowed + share)

    def allows(self, frames: float) -> bool:
        """Returns True if so much of a frame may be drawn."""
        return self.spent + frames <= self.allowed

    def spent_on(self, frames: float) -> Self:
        """Returns the budget after so much of a frame was drawn."""
        return replace(self, spent=self.spent + frames)


def holes(cover: Float[Tensor, "1 1 h w"]) -> tuple[Box, ...] | None:
    """Returns boxes around the places that no key shows, the largest first; None: draw all.

    `cover` is the confidence in what is shown there.
    """
    missing = (smooth(cover, _NEAR)[0, 0] < _COVERED).cpu().numpy().astype(np.uint8)
    if not missing.any():
        return ()
    joined = cv2.dilate(missing, np.ones((_CLOSED, _CLOSED), np.uint8))
    count, labels = cv2.connectedComponents(joined)
    h, w = missing.shape
    found: list[Box] = []
    for label in range(1, count):
        rows, columns = np.nonzero((labels == label) & (missing > 0))
        if len(rows) < _SMALLEST:
            continue
        hole = Box(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
        box = hole.grown(_HALO, (h, w))
        narrow = min(np.ptp(rows), np.ptp(columns)) + 1 < _NARROW
        if not narrow and len(rows) >= _WORTH * box.area:
            found.append(box)
    if sum(box.share((h, w)) for box in found) > _WHOLE:
        return None
    return tuple(sorted(found, key=lambda box: (-box.area, box.top, box.left)))


def _ramp(start: int, stop: int, size: int) -> Float[Tensor, "size"]:
    """Returns 1 inside [start, stop), falling to 0 over the halo unless the axis ends there."""
    places = torch.arange(size, dtype=torch.float32)
    width = _HALO - _TRIMMED
    rise = (places - start - _TRIMMED + 1) / width if start > 0 else torch.ones(size)
    fall = (stop - _TRIMMED - places) / width if stop < size else torch.ones(size)
    return torch.minimum(rise, fall).clamp(0, 1)
