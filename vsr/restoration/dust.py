"""Dust: dirt that is in one frame alone, found along the motion and filled from the neighbours."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from vsr.restoration.images import Image, Luma, luma_of, sampled
from vsr.restoration.neighbours import Flow, Neighbour, is_inside

_LEAST = 0.05
"""Smallest difference to both neighbours, of white."""
_NOISE = 4.0
"""The same in mean absolute differences of the place to its neighbours."""
_GROWN = 0.35
"""A blob grows to where the difference is this share of the threshold."""
_AGREE = 0.5
"""The neighbours differ from each other by at most this share of the difference."""
_RING = 0.2
"""Around a blob the neighbours fit the frame to this share of the difference."""
_SMALLEST = 4
"""Pixels of the smallest blob."""
_LARGEST = 0.01
"""Largest blob, as a share of the frame."""
_CROWDED = 0.12
"""Motion was not understood if blobs cover more than this share of a neighbourhood."""
_NEIGHBOURHOOD = 65
_NOISE_SIDE = 31
_SEARCH = 40
"""Pixels around a blob in which the neighbours may show it too: then it is a thing that moves."""
_SAME = 0.9
"""Largest difference of a thing to itself in another frame, as a share of the thing."""
_SLACK = 3.0
"""Pixels by which a motion may change from frame to frame, beside a sixth of it."""
_MARGIN = 3
_CROSS = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
_SQUARE = np.ones((3, 3), np.uint8)
_DISC = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _MARGIN + 1,) * 2)


def without_dust(image: Image, neighbours: Sequence[Neighbour], *, strength: float) -> Image:
    """Return the image with its dust filled from the two nearest neighbours, the first two.

    With fewer there is nothing to compare, and the image is returned as it is.
    """
    if len(neighbours) < 2:
        return image
    mask = dust_of(luma_of(image), [(luma_of(n.image), n.flow) for n in neighbours])
    if not mask.any():
        return image
    flows = [_around(n.flow, mask) for n in neighbours[:2]]
    fills = [sampled(n.image, flow) for n, flow in zip(neighbours, flows, strict=False)]
    return _filled(image, fills, mask, strength)


def dust_of(luma: Luma, neighbours: Sequence[tuple[Luma, Flow]]) -> Bool[np.ndarray, "h w"]:
    """Return the pixels that dust covers.

    Rank-ordered differences (SROD; Biemond et al. 1999) to the two nearest neighbours along the
    motion find it; a second look with the flow from around each blob, and its neighbours in space
    and time, take out what moves, appears or was not understood.
    """
    first = _blobs(luma, neighbours[:2])
    if not first.any():
        return first
    around = cv2.dilate(first.astype(np.uint8), _DISC).astype(bool)
    flows = [_around(flow, around) for _, flow in neighbours]
    aligned = [sampled(other, flow) for (other, _), flow in zip(neighbours, flows, strict=True)]
    nearest = [(other, flow) for (other, _), flow in zip(neighbours[:2], flows, strict=False)]
    return _isolated(luma, _blobs(luma, nearest), aligned)


def _blobs(luma: Luma, neighbours: Sequence[tuple[Luma, Flow]]) -> Bool[np.ndarray, "h w"]:
    """Return the connected pixels that differ from both neighbours, in one direction.

    The range of a neighbour is that of its own pixels around the place: interpolated ones have
    less contrast, and fine texture would be beyond them.
    """
    aligned = [sampled(other, flow) for other, flow in neighbours]
    low = np.minimum(*(_extreme(cv2.erode(o, _SQUARE), f) for o, f in neighbours))
    high = np.maximum(*(_extreme(cv2.dilate(o, _SQUARE), f) for o, f in neighbours))
    beyond = np.maximum(luma - high, low - luma)
    for _, flow in neighbours:
        beyond[~is_inside(flow)] = 0
    apart = cv2.dilate(np.abs(aligned[0] - aligned[1]), _CROSS)
    difference = luma - (aligned[0] + aligned[1]) / 2
    capped = np.minimum(np.abs(difference), 2 * _LEAST)
    noise = cv2.blur(capped, (_NOISE_SIDE, _NOISE_SIDE))
    threshold = np.maximum(_LEAST, _NOISE * noise)
    seeds = (beyond > threshold) & (apart < _AGREE * np.abs(difference))
    found = np.zeros(luma.shape, bool)
    for sign in (-1, 1):
        grown = (sign * difference > _GROWN * threshold).astype(np.uint8)
        _, labels = cv2.connectedComponents(grown, connectivity=8)
        kept = np.unique(labels[seeds & (sign * difference > 0)])
        found |= np.isin(labels, kept[kept > 0])
    return found


def _extreme(ranked: NDArray[Any], flow: Flow) -> Luma:
    """Return erosions or dilations along the flow, without interpolation."""
    return sampled(np.asarray(ranked, np.float32), np.rint(flow))


def _isolated(
    luma: Luma,
    mask: Bool[np.ndarray, "h w"],
    aligned: Sequence[Luma],
) -> Bool[np.ndarray, "h w"]:
    """Return the blobs that are dust: of moderate size, in a place that is understood, in one
    frame alone."""
    count, found, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    labels = np.asarray(found, np.int32)
    share = cv2.blur(mask.astype(np.float32), (_NEIGHBOURHOOD, _NEIGHBOURHOOD))
    kept = np.zeros(count, bool)
    for number in range(1, count):
        x, y, w, h, area = (int(value) for value in stats[number])
        if (
            area < _SMALLEST
            or area > _LARGEST * luma.size
            or share[y + h // 2, x + w // 2] > _CROWDED
        ):
            continue
        box = _grown_box((x, y, w, h), luma.shape, _MARGIN)
        blob = labels[box] == number
        ring = cv2.dilate(blob.astype(np.uint8), _DISC).astype(bool) & ~mask[box]
        expected = (aligned[0][box] + aligned[1][box]) / 2
        difference = luma[box] - expected
        depth = float(np.abs(difference[blob]).mean())
        if not ring.any() or np.abs(difference[ring]).mean() > _RING * depth:
            continue
        votes = sum(np.abs((a[box] - expected)[blob]).mean() < _AGREE * depth for a in aligned)
        if votes < min(3, len(aligned)):
            continue
        shown = np.where(blob | ring, difference, 0).astype(np.float32)
        kept[number] = not _moves(shown, box, [a - luma for a in aligned[:2]], depth)
    return np.isin(labels, np.flatnonzero(kept))


def _moves(
    shown: Float[np.ndarray, "blob_h blob_w"],
    box: tuple[slice, slice],
    apart: Sequence[Luma],
    depth: float,
) -> bool:
    """Return True if both neighbours have the blob too, at places that one motion leads to.

    `shown` is the blob without the picture behind it, `apart` the same of the aligned neighbours:
    they have their own things where the frame has its background.
    """
    top, left = box[0].start, box[1].start
    h, w = shown.shape
    places: list[NDArray[np.float64]] = []
    for other in apart:
        area = _grown_box((left, top, w, h), other.shape, _SEARCH)
        errors = cv2.matchTemplate(np.ascontiguousarray(other[area]), shown, cv2.TM_SQDIFF)
        y, x = np.unravel_index(int(errors.argmin()), errors.shape)
        if errors[y, x] > _SAME**2 * float((shown**2).sum()):
            return False
        places.append(np.array([area[1].start + x - left, area[0].start + y - top], float))
    one, two = places
    slack = _SLACK + 0.15 * float(np.linalg.norm(one))
    return bool(min(np.linalg.norm(two + one), np.linalg.norm(two - 2 * one)) <= slack)


def _grown_box(
    box: tuple[int, int, int, int], size: tuple[int, ...], margin: int
) -> tuple[slice, slice]:
    x, y, w, h = box
    return (
        slice(max(0, y - margin), max(0, min(size[0], y + h + margin))),
        slice(max(0, x - margin), max(0, min(size[1], x + w + margin))),
    )


def _around(flow: Flow, mask: Bool[np.ndarray, "h w"]) -> Flow:
    """Return the flow with that of its surroundings inside the mask."""
    known = (~mask).astype(np.float32)
    weight = cv2.GaussianBlur(known, (0, 0), 4.0)
    mean = cv2.GaussianBlur(flow * known[..., None], (0, 0), 4.0) / (weight[..., None] + 1e-6)
    return np.where(mask[..., None] & (weight[..., None] > 1e-3), mean, flow)


def _filled(
    image: Image, fills: Sequence[Image], mask: Bool[np.ndarray, "h w"], strength: float
) -> Image:
    """Blend the neighbour that fits better around each place into the masked pixels.

    One neighbour and not the mean of both: the mean would have less grain than the frame.
    """
    ring = cv2.dilate(mask.astype(np.uint8), _DISC).astype(bool) & ~mask
    known = ring.astype(np.float32)
    weight = cv2.GaussianBlur(known, (0, 0), 3.0) + 1e-6
    fitted: list[NDArray[Any]] = []
    errors: list[NDArray[Any]] = []
    for fill in fills:
        apart = (image - fill) * known[..., None]
        offset = cv2.GaussianBlur(apart, (0, 0), 3.0) / weight[..., None]
        fitted.append(fill + offset)
        errors.append(cv2.GaussianBlur(np.abs(apart).mean(2), (0, 0), 3.0))
    best = np.where((errors[0] <= errors[1])[..., None], *fitted)
    soft = cv2.dilate(mask.astype(np.float32), _CROSS)
    soft = np.maximum(mask, cv2.GaussianBlur(soft, (0, 0), 0.7)) * np.float32(strength)
    return np.asarray(image + (best - image) * soft[..., None], np.float32)
