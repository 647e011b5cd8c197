"""Grain taken out: averaged along the motion where frames agree, then shrunk in bands of detail."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float

from vsr.restoration.images import Image, Luma, luma_of, sampled
from vsr.restoration.neighbours import Neighbour
from vsr.video.grain import BLOCK, Grain

_AGREE = 1.3
"""Mean squared difference to a neighbour, of what grain gives, up to which it counts whole."""
_DECLINE = 2.0
_PATCH = (7, 7)
_LEVELS = 3
_LOCAL = (5, 5)
_FIRMNESS = 1.2
"""Variance of a band, of that of the grain left in it, that is taken for grain."""
_TAPS = np.array([1, 4, 6, 4, 1], np.float32) / 16


def grain_of_frame(image: Image, neighbours: Sequence[Neighbour], grain: Grain) -> Image:
    """Return the grain of a frame: what it has more than its denoised self."""
    variance = _variance(grain, luma_of(image))
    averaged, left = _averaged(image, neighbours, variance)
    return image - _shrunk(averaged, variance * left, _band_shares(grain))


def _variance(grain: Grain, luma: Luma) -> Float[np.ndarray, "h w"]:
    """Return the mean variance of a channel at each pixel, by the brightness around it."""
    soft = cv2.GaussianBlur(luma, (0, 0), 2.0)
    table = (grain.deviations_at((np.arange(256) + 0.5) / 256) ** 2).sum(0) / 3
    return table.astype(np.float32)[np.clip(soft * 256, 0, 255).astype(np.uint8)]


def _averaged(
    image: Image, neighbours: Sequence[Neighbour], variance: Float[np.ndarray, "h w"]
) -> tuple[Image, Float[np.ndarray, "h w"]]:
    """Return the weighted mean along the motion, and the share of the variance that is left.

    A neighbour counts where it differs by no more than two grains do.
    """
    total = image.copy()
    weights = np.ones(image.shape[:2], np.float32)
    squares = np.ones(image.shape[:2], np.float32)
    for neighbour in neighbours:
        other = sampled(neighbour.image, neighbour.flow)
        apart = cv2.blur(_mean_square(other - image), _PATCH)
        misfit = apart / (2 * variance + 1e-8) - _AGREE
        weight = np.exp(-_DECLINE * np.maximum(misfit, 0)).astype(np.float32)
        total += other * weight[..., None]
        weights += weight
        squares += weight * weight
    return total / weights[..., None], squares / (weights * weights)


def _mean_square(image: Image) -> Float[np.ndarray, "h w"]:
    return np.asarray(cv2.transform(image * image, np.full((1, 3), 1 / 3, np.float32)))


def _shrunk(
    image: Image, variance: Float[np.ndarray, "h w"], shares: Float[np.ndarray, "levels"]
) -> Image:
    """Return the image without the grain in its bands (a trous; empirical Wiener in each).

    `variance` is that of the grain, `shares` its parts by band.
    """
    base, kept = image, np.zeros_like(image)
    for level, share in enumerate(shares):
        kernel = _kernel(level)
        soft = np.asarray(cv2.sepFilter2D(base, -1, kernel, kernel), np.float32)
        band = base - soft
        power = cv2.blur(_mean_square(band), _LOCAL)
        noise = _FIRMNESS * share * variance
        kept += band * (np.maximum(power - noise, 0) / (power + 1e-9))[..., None]
        base = soft
    return base + kept


def _kernel(level: int) -> Float[np.ndarray, "taps"]:
    step = 2**level
    kernel = np.zeros(4 * step + 1, np.float32)
    kernel[::step] = _TAPS
    return kernel


def _band_shares(grain: Grain) -> Float[np.ndarray, "levels"]:
    """Return the parts of the grain's variance that the bands hold, by its spectrum."""
    energy = (grain.deviations**2 * grain.weights).sum(1)
    spectrum = np.tensordot(energy / energy.sum(), grain.spectra, 1)
    frequencies = np.fft.fftfreq(BLOCK)
    passed = np.ones((BLOCK, BLOCK))
    shares: list[float] = []
    for level in range(_LEVELS):
        angles = 2 * np.pi * frequencies * 2**level
        line = (6 + 8 * np.cos(angles) + 2 * np.cos(2 * angles)) / 16
        lower = passed * np.outer(line, line)
        shares.append(float((spectrum * (passed - lower) ** 2).mean()))
        passed = lower
    return np.array(shares, np.float32)
