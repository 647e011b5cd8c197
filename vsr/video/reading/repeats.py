"""Frames that repeat the one before: drawings on twos, 24p in 60p, screen recordings, slides."""

from dataclasses import replace

import numpy as np

from vsr.video.pixels import Pixels
from vsr.video.reading.reader import Frame

_ROWS_APART = 16
"""Every so many rows are compared first, where nearly all frames that differ do."""


def sharing(frame: Frame, before: Frame) -> Frame:
    """Return `frame`, with the pixels of `before` itself where its own are equal to them.

    So `repeats` can tell without another comparison, and equal pictures are in memory once.
    """
    return replace(frame, pixels=before.pixels) if _equal(frame.pixels, before.pixels) else frame


def repeats(frame: Frame, before: Frame | None) -> bool:
    """Return True if `frame` shares the pixels of `before`."""
    return before is not None and frame.pixels is before.pixels


def _equal(a: Pixels, b: Pixels) -> bool:
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return False
    return np.array_equal(a[::_ROWS_APART], b[::_ROWS_APART]) and np.array_equal(a, b)
