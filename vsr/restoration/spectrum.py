"""The fast part of a path: wear of single frames is as strong in it, cameras and light are slow."""

import numpy as np
from jaxtyping import Bool, Float
from numpy.lib.stride_tricks import sliding_window_view

from vsr.restoration.paths import Path

SECOND = 25
"""Frames of a spectrum, about a second."""
_FAST = 0.25
"""Cycles a frame from which on a change is fast: 6 Hz at 24 frames a second."""


def fast_noise(path: Path) -> Float[np.ndarray, "n"]:
    """Return the deviation of white noise that has the path's fast part, the median of seconds."""
    power, is_fast, weight = _powers(path)
    return np.sqrt(np.median(power[:, is_fast].mean(1), 0) / weight)


def fast_shares(path: Path) -> Float[np.ndarray, "t"]:
    """Return the fast share of the energy beside a line, in the second around each frame.

    White noise has about 0.6 of its energy there, a camera that is held by hand less than 0.1.
    A path of fewer frames than a second proves less: its share is smaller in proportion.
    """
    power, is_fast, _ = _powers(path)
    total = power.sum((1, 2))
    shares = power[:, is_fast].sum((1, 2)) / np.maximum(total, 1e-12)
    places = np.clip(np.arange(len(path)) - SECOND // 2, 0, len(shares) - 1)
    return shares[places] * min(1.0, len(path) / SECOND)


def holds(scores: Float[np.ndarray, "t"], centre: int, *, low: float, high: float) -> bool:
    """Return True if a state that begins at `high` and lasts down to `low` holds at a frame.

    It may begin before the frame or after it.
    """
    lasting = scores >= low
    if not lasting[centre]:
        return False
    breaks = np.flatnonzero(~lasting)
    first = breaks[breaks < centre].max(initial=-1) + 1
    last = breaks[breaks > centre].min(initial=len(scores))
    return bool(scores[first:last].max() >= high)


def _powers(path: Path) -> tuple[Float[np.ndarray, "s f n"], Bool[np.ndarray, "f"], float]:
    """Return the spectra of all seconds without their lines, the fast bins, and the taper's sum."""
    count = min(SECOND, len(path))
    seconds = sliding_window_view(path, count, axis=0)
    times = np.arange(count) - (count - 1) / 2
    seconds = seconds - seconds.mean(-1, keepdims=True)
    slopes = seconds @ times / max(1.0, float(times @ times))
    taper = np.hanning(count + 2)[1:-1]
    beside = (seconds - slopes[..., None] * times) * taper
    power = np.abs(np.fft.rfft(beside, axis=-1)) ** 2
    return power.transpose(0, 2, 1), np.fft.rfftfreq(count) >= _FAST, float(taper @ taper)
