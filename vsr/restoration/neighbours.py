"""Neighbouring frames and the motion to them, shared by the repairs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import cv2
import numpy as np
from jaxtyping import Bool, Float

from vsr.ops.dis import DenseSearch
from vsr.restoration.images import Image, Luma, as_bytes, sampled

Flow = Float[np.ndarray, "h w 2"]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another frame of the shot, and the flow from the frame in hand to it."""

    image: Image
    flow: Flow


def flows_between(before: Luma, after: Luma) -> tuple[Flow, Flow]:
    """Return the flow from the first to the second and back, by DIS (Kroeger et al. 2016).

    A median hides most of the dust from it.
    """
    first, second = (
        np.asarray(cv2.medianBlur(as_bytes(luma), 5), np.uint8) for luma in (before, after)
    )
    search = DenseSearch()
    return search(first, second), search(second, first)


def is_inside(flow: Flow) -> Bool[np.ndarray, "h w"]:
    """Return the places that the flow leads to places inside the frame."""
    h, w = flow.shape[:2]
    x, y = flow[..., 0] + np.arange(w), flow[..., 1] + np.arange(h)[:, None]
    return (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)


def joined(first: Flow, second: Flow) -> Flow:
    """Return the flow over two steps."""
    return first + sampled(second, first)


def chained(number: int, other: int, steps: Callable[[int], tuple[Flow, Flow]]) -> Flow:
    """Return the flow from a frame to another one, frame by frame.

    `steps` gives, for a number, the flow from that frame to the next one, and back.
    """
    forward = other > number
    pairs = range(number, other) if forward else range(number - 1, other - 1, -1)
    flows = (steps(pair)[0 if forward else 1] for pair in pairs)
    return reduce(joined, flows)
