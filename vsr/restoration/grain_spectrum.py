"""The spectrum of grain, from the power that is seen in blocks of differences."""

import cv2
import numpy as np
from jaxtyping import Float

from vsr.restoration.grain_blocks import without_planes
from vsr.restoration.grain_synthesis import amplitudes
from vsr.video.grain import BLOCK

Spectrum = Float[np.ndarray, "b b"]
"""Power by frequency, as `fft2` has them."""

_NEAR, _FAR = 3.3, 5.5
"""Frequencies, in cycles a block, from which those below `_UNSEEN` are told."""
_UNSEEN = 1.6
"""Frequencies below which planes are most of what is seen."""
_STEEPEST = 3.0
_FIELDS = 192
"""Fields of grain that are made for a comparison, four blocks each."""
_STEPS = 3
_MOST = 2.0
"""Factor by which a step changes the power of a frequency at most."""


def transfer(white: Float[np.ndarray, "n b b"]) -> Spectrum:
    """Return the power that white noise of variance 1 has left, smoothed."""
    return _smoothed((np.abs(np.fft.fft2(white)) ** 2).mean(0) / BLOCK**2)


def seen_spectrum(
    component: Float[np.ndarray, "n b b"],
    levels: Float[np.ndarray, "n"],
    weights: Float[np.ndarray, "n"],
) -> Spectrum:
    """Return the mean power in a window (Welch 1967); `levels` are the deviations of blocks."""
    even = component / (levels[:, None, None] + 1e-9)
    powers = np.abs(np.fft.fft2(even * _window())) ** 2
    return np.tensordot(weights / weights.sum(), powers, 1) / (_window() ** 2).sum()


def fitted_spectrum(seen: Spectrum, gains: Spectrum) -> Spectrum:
    """Return the spectrum, of mean 1, whose grain would be seen so in blocks.

    The window makes a spectrum blurred, and without their planes blocks lack low frequencies: so
    grain of the spectrum is made and seen in the same way, and the spectrum is corrected.
    """
    spectrum = _with_low_frequencies(seen / gains, _NEAR)
    even = np.ones(4 * _FIELDS)
    for _ in range(_STEPS):
        again = seen_spectrum(_blocks_of(spectrum, gains), even, even)
        again *= seen.mean() / again.mean()
        change = _smoothed(seen) / _smoothed(again)
        corrected = spectrum * np.clip(change, 1 / _MOST, _MOST)
        spectrum = _with_low_frequencies(corrected, _UNSEEN)
    return spectrum / spectrum.mean()


def seen_variance(spectrum: Spectrum, gains: Spectrum) -> float:
    """Return the variance that is seen of grain of variance 1."""
    return float(_blocks_of(spectrum, gains).var((1, 2)).mean())


def _blocks_of(spectrum: Spectrum, gains: Spectrum) -> Float[np.ndarray, "n b b"]:
    """Return blocks without planes, of grain that lost to alignment what `gains` say."""
    size = (2 * BLOCK, 2 * BLOCK)
    noise = np.random.default_rng(0).standard_normal((_FIELDS, *size), np.float32)
    left = spectrum * gains
    factors = amplitudes(left, size) * np.float32(np.sqrt(left.mean() / spectrum.mean()))
    fields = np.fft.irfft2(np.fft.rfft2(noise) * factors, size).astype(np.float32)
    halves = fields.reshape(_FIELDS, 2, BLOCK, 2, BLOCK).transpose(0, 1, 3, 2, 4)
    return without_planes(halves.reshape(-1, BLOCK, BLOCK, 1))[..., 0]


def _window() -> Float[np.ndarray, "b b"]:
    line = np.hanning(BLOCK + 2)[1:-1].astype(np.float32)
    return np.outer(line, line)


def _smoothed(power: Spectrum) -> Spectrum:
    padded = np.pad(power, 2, mode="wrap")
    return np.asarray(cv2.GaussianBlur(padded, (5, 5), 1.0))[2:-2, 2:-2]


def _with_low_frequencies(power: Spectrum, below: float) -> Spectrum:
    """Return the power with what planes take away, from a Gaussian through the rest."""
    steps = np.fft.fftfreq(BLOCK) * BLOCK
    distance = np.hypot(*np.meshgrid(steps, steps))
    near, far = (power[np.abs(distance - ring) < 0.6].mean() for ring in (_NEAR, _FAR))
    slope = np.clip(np.log(near / far), 0, _STEEPEST) / (_FAR**2 - _NEAR**2)
    low = near * np.exp(slope * (_NEAR**2 - distance**2))
    return np.where(distance < below, np.maximum(power, low), power)
