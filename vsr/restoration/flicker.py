"""Flicker: brightness that pumps, globally and by region, taken out; fades and lightning stay."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from vsr.ops.dis import DenseSearch
from vsr.restoration.images import Image, Luma, as_bytes, reduced, sampled
from vsr.restoration.paths import Path, noise_of, steady_at
from vsr.restoration.spectrum import fast_noise

_SIDE = 160
"""Longer side of the pictures whose brightness is compared."""
_GRID = (4, 5)
"""Rows and columns of the field of local changes."""
_DARK, _BRIGHT = 12 / 255, 243 / 255
"""Near black and white a change of exposure is not seen."""
_LIKE = 0.25
"""Pixels that differ more after the global change are not the same thing."""
_LEAST_SHARE = 0.1
_EVENT = 4.0
"""A frame this many times the flicker away from the smooth path is lightning, or a flash."""
_LEAST_EVENT = 0.12
_LOWEST, _CERTAIN = 0.002, 0.005
"""Relative changes: below the first there is no flicker, above the second there is."""
_FAINT, _STRONG = 0.004, 0.007
"""The same for the fast part of the path, of its median cell: what moves in the scene changes a few
cells, and slowly."""


@dataclass(frozen=True, slots=True)
class Change:
    """The logarithm of the brightness of a frame over that of the one before.

    `field` is what differs from `overall` by region.
    """

    overall: float
    field: Float[np.ndarray, "rows columns"]


def brightness_image(luma: Luma) -> Float[np.ndarray, "h2 w2"]:
    """Return the small picture whose brightness is compared."""
    return reduced(luma, _SIDE)


def change_between(before: Luma, after: Luma) -> Change:
    """Return the change of brightness from one small picture to the next, along the motion.

    It is a median over pixels that are the same thing in both, so that what moves, appears or
    vanishes does not count.
    """
    pair = as_bytes(before), as_bytes(after)
    flow = DenseSearch("fast")(*_matched(*pair))
    moved = sampled(np.asarray(cv2.GaussianBlur(after, (0, 0), 1.0), np.float32), flow)
    before = np.asarray(cv2.GaussianBlur(before, (0, 0), 1.0), np.float32)
    valid = (np.minimum(before, moved) > _DARK) & (np.maximum(before, moved) < _BRIGHT)
    if valid.mean() < _LEAST_SHARE:
        return Change(0.0, np.zeros(_GRID))
    ratio = np.log(np.maximum(moved, _DARK) / np.maximum(before, _DARK))
    overall = float(np.median(ratio[valid]))
    alike = valid & (np.abs(ratio - overall) < _LIKE)
    return Change(overall, _field(ratio - overall, alike))


def _matched(
    before: NDArray[np.uint8], after: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return both with the mean brightness of the first, so that the flow sees motion alone."""
    gain = (float(before.mean()) + 1) / (float(after.mean()) + 1)
    return before, np.clip(np.rint(after * gain), 0, 255).astype(np.uint8)


def _field(ratio: Float[np.ndarray, "h w"], alike: NDArray[np.bool_]) -> np.ndarray:
    """Return the median of each cell; those of which little can be compared change less."""
    h, w = ratio.shape
    field = np.zeros(_GRID)
    rows, columns = (
        np.linspace(0, side, n + 1).astype(int) for side, n in zip((h, w), _GRID, strict=False)
    )
    for i in range(_GRID[0]):
        for j in range(_GRID[1]):
            cell = slice(rows[i], rows[i + 1]), slice(columns[j], columns[j + 1])
            seen = alike[cell]
            if seen.size and seen.mean() >= _LEAST_SHARE:
                field[i, j] = np.median(ratio[cell][seen]) * min(1.0, 2 * seen.mean())
    return field


def flicker_at(changes: Sequence[Change], centre: int) -> Change:
    """Return how much brighter frame `centre` is than the smooth path of its window.

    `changes` are those between neighbouring frames, one fewer than frames.
    """
    if not changes:
        return Change(0.0, np.zeros(_GRID))
    overall = _path([np.array([change.overall]) for change in changes])
    field = _path([change.field.ravel() for change in changes])
    return Change(
        float(_excess(overall, centre)[0]),
        _excess(field, centre).reshape(_GRID),
    )


def _path(steps: Sequence[np.ndarray]) -> Path:
    return np.cumsum(np.stack([np.zeros_like(steps[0]), *steps]), 0)


def _excess(path: Path, centre: int) -> Float[np.ndarray, "n"]:
    """Return the difference to the smooth path, or zero for what is no flicker.

    Flicker is in every frame, so the noise of the path says how strong it is.
    """
    if len(path) < 5:
        return np.zeros(path.shape[1])
    noise = noise_of(path)
    fast = float(np.median(fast_noise(path)))
    certain = np.clip((fast - _FAINT) / (_STRONG - _FAINT), 0, 1)
    share = certain * np.clip((noise - _LOWEST) / (_CERTAIN - _LOWEST), 0, 1)
    if not share.any():
        return np.zeros(path.shape[1])
    excess = path[centre] - steady_at(path, centre)
    event = np.abs(excess) > np.maximum(_EVENT * 2 * noise, _LEAST_EVENT)
    return np.where(event, 0, share * excess)


def without_flicker(image: Image, excess: Change, *, strength: float) -> Image:
    """Return the image divided by its excess of brightness."""
    if not excess.overall and not excess.field.any():
        return image
    h, w = image.shape[:2]
    field = cv2.resize(excess.field, (w, h), interpolation=cv2.INTER_CUBIC)
    gain = np.exp(-strength * (excess.overall + field)).astype(np.float32)
    return image * gain[..., None]
