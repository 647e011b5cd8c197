"""Grain of a description, at any size: the same for a frame number, whoever makes it."""

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Complex, Float

from vsr.restoration.images import Luma, as_image, as_pixels, luma_of
from vsr.video.grain import BLOCK, Grain
from vsr.video.pixels import Pixels

_LEAST_POWER = 1e-6
"""Power of a frequency, of the mean, below which it is none."""
_STREAM = 0x67726E
"""Keeps the numbers of grain apart from those of other noise."""


def with_grain(pixels: Pixels, grain: Grain, frame_number: int) -> Pixels:
    """Return the picture with its grain, scaled as the picture was."""
    image = as_image(pixels)
    luma = luma_of(image)
    for k in range(grain.basis.shape[1]):
        field = grain_field(grain, k, pixels.shape[:2], frame_number)
        field *= _strengths(grain, k, luma)
        image += field[..., None] * grain.basis[:, k].astype(np.float32)
    return as_pixels(image, pixels)


def grain_field(
    grain: Grain, component: int, size: tuple[int, ...], frame_number: int
) -> Float[np.ndarray, "h w"]:
    """Return one component of variance 1, as frames of the measured size have it, at `size`.

    White noise by the frame's number is filtered and enlarged by its Fourier transform: the
    enlarged grain has no higher frequencies than the measured one.
    """
    h, w = grain.size
    rng = np.random.default_rng((_STREAM, component, frame_number))
    noise = np.fft.rfft2(rng.standard_normal((h, w), np.float32))
    noise *= _amplitudes(grain, component)
    return np.fft.irfft2(_resized(noise, w, size), size).astype(np.float32, copy=False)


def _resized(
    transform: Complex[np.ndarray, "h w2"], width: int, size: tuple[int, ...]
) -> Complex[np.ndarray, "h2 w3"]:
    """Return the transform of a picture of `width` as that of an enlarged or reduced one."""
    h, (high, wide) = len(transform), size
    rows, columns = min(h, high), min(width, wide) // 2 + 1
    top, bottom = (rows + 1) // 2, rows // 2
    large = np.zeros((high, wide // 2 + 1), np.complex64)
    large[:top, :columns] = transform[:top, :columns]
    if bottom:
        large[-bottom:, :columns] = transform[-bottom:, :columns]
    return large * np.float32(high * wide / (h * width))


@lru_cache(maxsize=6)
def _amplitudes(grain: Grain, component: int) -> Float[np.ndarray, "h w2"]:
    """Return the factor of each frequency of frames of the measured size."""
    return amplitudes(grain.spectra[component], grain.size)


def amplitudes(
    spectrum: Float[np.ndarray, "n n"], size: tuple[int, int]
) -> Float[np.ndarray, "h w2"]:
    """Return the factor of each frequency with which white noise of `size` gets a spectrum.

    The variance stays that of the noise.
    """
    h, w = size
    # logarithms: between two frequencies the power of a blur is nearer to theirs
    centred = np.fft.fftshift(np.log(np.maximum(spectrum, _LEAST_POWER)) / 2).astype(np.float32)
    centred = np.pad(centred, ((0, 1), (0, 1)), mode="wrap")
    y = np.fft.fftfreq(h).astype(np.float32)[:, None] * BLOCK + BLOCK // 2
    x = np.fft.rfftfreq(w).astype(np.float32)[None] * BLOCK + BLOCK // 2
    shape = (h, w // 2 + 1)
    across, down = (np.ascontiguousarray(np.broadcast_to(axis, shape)) for axis in (x, y))
    found = np.exp(np.asarray(cv2.remap(centred, across, down, cv2.INTER_LINEAR), np.float32))
    # Columns but the first, and the last of an even width, stand for two frequencies.
    twice = np.full(shape[1], 2.0)
    twice[0] = 1
    if w % 2 == 0:
        twice[-1] = 1
    power = (found.astype(np.float64) ** 2 @ twice).sum() / (h * w)
    return found / np.float32(np.sqrt(power))


def _strengths(grain: Grain, component: int, luma: Luma) -> Float[np.ndarray, "h w"]:
    """Return the deviation at each pixel, by its brightness."""
    table = grain.deviations_at((np.arange(1024) + 0.5) / 1024)[component] * grain.strength
    return table.astype(np.float32)[np.clip(luma * 1024, 0, 1023).astype(np.int16)]
