"""The columns around a line in its frame, and along the motion in others: whose it is, and fill."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from vsr.restoration.images import Image, as_image, luma_of
from vsr.restoration.neighbours import Flow
from vsr.restoration.scratches import FAR, LEAST_SEEN, Line, profiles
from vsr.video.pixels import Pixels

_SIDE = 32
"""Columns to either side of a line that are compared with it."""
_BESIDE = 12
"""Columns nearer to the line do not tell the noise beside it."""
_HALF = 5
"""Half the width of what is subtracted."""
_MOVED = 2.5
"""Pixels by which the scene must go sideways under a line to tell whose it is by place."""
_OF_FILM, _LIVELY = 0.75, 0.6
"""Share of a line that is not along the motion in the frames around: below the first in a scene
that moves, or the second in one that stands, the line belongs to the scene."""
_CLEARLY = 2.5
"""The same share must be so many times that of the picture beside the line."""
_LEAST_ADDED = 2 / 255
_ROWS = 11
"""Rows over which the strength of a line is nearly the same."""

Band = Float[np.ndarray, "h columns 3"]


@dataclass(frozen=True, slots=True)
class Bands:
    """The columns within `_SIDE` of a line, and the same places of the scene in other frames."""

    rows: NDArray[np.int_]
    columns: NDArray[np.int_]
    inside: Bool[np.ndarray, "h columns"]
    own: Band
    others: Sequence[Band]
    moved: Sequence[float]
    """Pixels by which the scene went sideways to each of the others."""

    @classmethod
    def of(cls, line: Line, pixels: Pixels, others: Sequence[tuple[Pixels, Flow]]) -> "Bands":
        """Cut the columns around a line out of a frame, and the same of the scene out of others.

        The flow to each of these may be that of smaller pictures.
        """
        h, w = pixels.shape[:2]
        rows = np.arange(h)[:, None]
        wanted = line.columns(h)[:, None] + np.arange(-_SIDE, _SIDE + 1)
        columns = np.clip(wanted, 0, w - 1)
        places = np.stack(np.broadcast_arrays(columns, rows), -1).astype(np.float32)
        bands: list[Band] = []
        moved: list[float] = []
        for other, flow in others:
            scale = np.array([w / flow.shape[1], h / flow.shape[0]], np.float32)
            motion = _sampled(flow, (places + 0.5) / scale - 0.5) * scale
            bands.append(as_image(_sampled(other, places + motion)))
            moved.append(float(np.median(np.abs(motion[..., 0]))))
        own = as_image(pixels[rows, columns])
        return cls(rows, columns, wanted == columns, own, bands, moved)

    def is_of_film(self) -> bool:
        """Return True if the line does not go along with the scene.

        In a scene that stands it must at least change its strength: that of a pole does not.
        """
        shares = [self._share_missing(other) for other in self.others]
        far = [share for share, by in zip(shares, self.moved, strict=True) if by >= _MOVED]
        chosen, least = (far, _OF_FILM) if len(far) > 1 else (shares, _LIVELY)
        if not chosen:
            return False
        line, beside = np.median(chosen, 0)
        return bool(line > max(least, _CLEARLY * beside))

    def _share_missing(self, other: Band) -> tuple[float, float]:
        """Return the share of the line that another frame has not, and as much beside the line."""
        shown, missing = (profiles(luma_of(band)) for band in (self.own, self.own - other))
        middle = slice(_SIDE - 1, _SIDE + 2)
        strength = np.abs(shown[:, middle]).max(1)
        seen = strength > LEAST_SEEN
        if not seen.any():
            return 0.0, 1.0
        line = np.abs(missing[:, middle]).max(1)[seen]
        far = np.abs(np.arange(-_SIDE, _SIDE + 1)) >= _BESIDE
        beside = np.abs(missing[:, far])[seen].mean(1)
        return float(line.sum() / strength[seen].sum()), float(beside.sum() / strength[seen].sum())

    def added(self) -> tuple[Band, Bool[np.ndarray, "h columns"]]:
        """Return what the line adds to the columns near it, and which of these are in the frame.

        A scratch adds a profile that changes slowly along it, while the picture under it changes
        fast: the mean along the line of the difference to the picture without it is the scratch.
        """
        near = slice(_SIDE - FAR, _SIDE + FAR + 1)
        own = self.own[:, near]
        reach = np.arange(-FAR, FAR + 1)
        across = _across(own)
        bases, errors = [across], [_error(own - across, reach)]
        far = [b for b, by in zip(self.others, self.moved, strict=True) if by >= _MOVED]
        if far:
            along = np.median(np.stack([_levelled(b[:, near], own, reach) for b in far]), 0)
            bases.append(along)
            errors.append(_error(own - along, reach))
        weights = [1 / (error**2 + 1e-6) for error in errors]
        base = sum(w * b for w, b in zip(weights, bases, strict=True)) / sum(weights)
        added = _significant(_smooth_along(own - base), reach)
        taper = np.clip(_HALF + 0.5 - np.abs(reach), 0, 1).astype(np.float32)
        return added * taper[None, :, None], self.inside[:, near]

    def subtract(self, image: Image, strength: float) -> None:
        """Take the line out of the image that it was cut from, in place."""
        added, inside = self.added()
        near = slice(_SIDE - FAR, _SIDE + FAR + 1)
        image[self.rows, self.columns[:, near]] -= strength * added * inside[..., None]


def _sampled(picture: NDArray[Any], places: Float[np.ndarray, "h n 2"]) -> NDArray[Any]:
    return np.asarray(
        cv2.remap(picture, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    )


def _across(own: Band) -> Band:
    """Return the picture on both sides of the line, continued under it."""
    left = own[:, : FAR - _HALF].mean(1, keepdims=True)
    right = own[:, -(FAR - _HALF) :].mean(1, keepdims=True)
    share = np.linspace(0, 1, own.shape[1], dtype=np.float32)[None, :, None]
    return left * (1 - share) + right * share


def _levelled(other: Band, own: Band, reach: NDArray[np.int_]) -> Band:
    """Return what another frame shows there, with the brightness of this one beside the line."""
    beside = np.abs(reach) >= _HALF
    offset = _smooth_along((own - other)[:, beside].mean(1, keepdims=True))
    return other + offset


def _error(difference: Band, reach: NDArray[np.int_]) -> Float[np.ndarray, "h 1 1"]:
    """Return how far a base is from the picture beside the line, smooth along it."""
    beside = np.abs(difference[:, np.abs(reach) >= _HALF]).mean((1, 2))
    soft = cv2.blur(beside.astype(np.float32)[:, None], (1, 2 * _ROWS + 1))
    return soft.reshape(-1, 1, 1)


def _significant(added: Band, reach: NDArray[np.int_]) -> Band:
    """Return what is more than the same mean gives of the picture beside the line."""
    beside = np.abs(added[:, (np.abs(reach) >= _HALF) & (np.abs(reach) < FAR - 1)])
    level = np.maximum(_LEAST_ADDED, 2 * beside.mean((1, 2)))[:, None, None]
    share = np.clip(np.abs(added).max(2, keepdims=True) / level - 1, 0, 1)
    return added * share


def _smooth_along(added: Band) -> Band:
    """Return the medians over some rows, which texture does not move, smoothed."""
    half = _ROWS // 2
    padded = np.pad(added, ((half, half), (0, 0), (0, 0)), mode="edge")
    medians = np.median(np.stack([padded[i : i + len(added)] for i in range(_ROWS)]), 0)
    kernel = cv2.getGaussianKernel(2 * _ROWS + 1, _ROWS / 2.5)
    soft = cv2.sepFilter2D(
        medians.astype(np.float32), -1, np.ones(1), kernel, borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(soft, np.float32).reshape(added.shape)
