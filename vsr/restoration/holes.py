"""Holes: regions lost for several frames, filled along the motion from the frames around them.

The flow between neighbouring frames is completed inside the holes from its surroundings; each lost
place is followed along it, forward and backward, to the first frame that shows it, and takes its
pixels from there: from one frame, so that the grain stays.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from vsr.restoration.images import Image, luma_of, sampled
from vsr.restoration.neighbours import Flow, flows_between, is_inside, joined

Mask = Bool[np.ndarray, "h w"]

REACH = 12
"""Frames to either side in which a lost place is looked for."""
_MARGIN = 4
"""Pixels around a hole whose flow is not trusted either."""
_RING = 6
"""Width of the surroundings in which a fill is compared with the frame."""
_LARGEST_OFFSET = 0.12
_SEAM = 2.0


@dataclass(frozen=True, slots=True)
class Fill:
    """The pixels that the frames on one side show, and how many frames away each of them is.

    `distance` is infinite where no frame within reach shows the place.
    """

    image: Image
    distance: Float[np.ndarray, "h w"]


Step = Callable[[int, int], Flow]
"""Gives the flow from a frame to a neighbour, completed inside their holes."""


def without_holes(
    number: int, images: Mapping[int, Image], masks: Mapping[int, Mask], step: Step
) -> tuple[Image, float]:
    """Return frame `number` with its hole filled, and the share of the hole that no frame shows.

    What no frame shows is continued from its borders.
    """
    image, mask = images[number], masks[number]
    region = _grown(mask, _RING)
    fills = [followed(number, way, region, images, masks, step) for way in (-1, 1)]
    ring = region & ~mask
    fitted = [_fitted(image, fill, ring) for fill in fills]
    near = [_nearness(fill) for fill in fills]
    first = (near[0] >= near[1]).astype(np.float32)
    first = np.where(near[0] * near[1] > 0, cv2.GaussianBlur(first, (0, 0), _SEAM), near[0] > 0)
    mixed = fitted[1] + (fitted[0] - fitted[1]) * first[..., None]
    unseen = mask & (near[0] + near[1] == 0)
    if unseen.any():
        mixed = completed(np.where(mask[..., None], mixed, image), ~unseen)
    soft = np.maximum(mask, cv2.GaussianBlur(_grown(mask, 2).astype(np.float32), (0, 0), 1.0))
    soft = np.where(region & ((near[0] + near[1] > 0) | mask), soft, 0)[..., None]
    filled = image + (mixed - image) * soft
    return np.asarray(filled, np.float32), float(unseen.sum() / max(1, mask.sum()))


def followed(
    number: int,
    way: int,
    region: Mask,
    images: Mapping[int, Image],
    masks: Mapping[int, Mask],
    step: Step,
) -> Fill:
    """Return what the frames before (`way` -1) or after it (1) show of a region of a frame."""
    fill = np.zeros_like(images[number])
    distance = np.full(region.shape, np.inf, np.float32)
    total: Flow | None = None
    left = region.copy()
    for apart in range(1, REACH + 1):
        other = number + way * apart
        if other not in images or not left.any():
            break
        near = step(other - way, other)
        total = near if total is None else joined(total, near)
        found = left & _is_shown(total, masks.get(other))
        fill[found] = sampled(images[other], total)[found]
        distance[found] = apart
        left &= ~found
    return Fill(fill, distance)


def completed_flow(images: tuple[Image, Image], masks: tuple[Mask | None, Mask | None]) -> Flow:
    """Return the flow from the first frame to the second, that in their holes from around them."""
    shown = [luma_of(image) for image in images]
    lost = np.zeros(shown[0].shape, bool)
    for number, mask in enumerate(masks):
        if mask is not None:
            lost |= _grown(mask, _MARGIN)
            shown[number] = completed(shown[number][..., None], ~mask)[..., 0]
    there, _ = flows_between(shown[0], shown[1])
    return completed(there, ~lost) if lost.any() else there


def completed(values: Float[np.ndarray, "h w n"], known: Mask) -> Float[np.ndarray, "h w n"]:
    """Return the values with smooth ones where they are not known: pull and push over halvings.

    Gortler et al. 1996, section 3.4. Where nothing is known they are 0.
    """
    given = known.astype(np.float32)[..., None]
    return np.where(known[..., None], values, _pulled(values * given, given)).astype(np.float32)


def _pulled(sums: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the means of weighted sums, from smaller ones where there is no weight."""
    h, w = weights.shape[:2]
    means = sums / np.maximum(weights, 1e-6)
    if min(h, w) <= 1 or weights.min() > 0:
        return np.asarray(means, np.float32)
    half = ((w + 1) // 2, (h + 1) // 2)
    small = [
        np.asarray(cv2.resize(x, half, interpolation=cv2.INTER_AREA), np.float32).reshape(
            half[1], half[0], -1
        )
        for x in (sums, weights)
    ]
    coarse = cv2.resize(_pulled(small[0], small[1]), (w, h), interpolation=cv2.INTER_LINEAR)
    share = np.clip(weights, 0, 1)
    return np.asarray(share * means + (1 - share) * coarse.reshape(h, w, -1), np.float32)


def _is_shown(flow: Flow, mask: Mask | None) -> Mask:
    """Return the places that the flow leads into the frame, and out of its hole."""
    inside = is_inside(flow)
    if mask is None:
        return inside
    return inside & (sampled(_grown(mask, 2).astype(np.float32), flow) < 0.01)


def _fitted(image: Image, fill: Fill, ring: Mask) -> Image:
    """Return the fill with the frame's brightness and colour, as the surroundings have them."""
    seen = ring & np.isfinite(fill.distance)
    if not seen.any():
        return fill.image
    apart = np.clip(image - fill.image, -_LARGEST_OFFSET, _LARGEST_OFFSET)
    known = cv2.GaussianBlur(seen.astype(np.float32), (0, 0), _RING)[..., None]
    near = cv2.GaussianBlur(apart * seen[..., None], (0, 0), _RING)
    offset = completed(near / np.maximum(known, 1e-6), known[..., 0] > 0.05)
    return np.asarray(fill.image + offset, np.float32)


def _nearness(fill: Fill) -> Float[np.ndarray, "h w"]:
    return np.where(np.isfinite(fill.distance), 1 / fill.distance, 0).astype(np.float32)


def _grown(mask: Mask, pixels: int) -> Mask:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1,) * 2)
    return cv2.dilate(mask.astype(np.uint8), disc).astype(bool)
