"""The grain of a shot, measured on what neighbouring frames do not share in flat places."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from vsr.restoration.grain_blocks import (
    LEAST_BLOCKS,
    GrainBlocks,
    blocks_between,
    flat_blocks,
    gathered,
    without_texture,
)
from vsr.restoration.grain_spectrum import fitted_spectrum, seen_spectrum, seen_variance, transfer
from vsr.restoration.images import Image, as_image
from vsr.video.grain import BINS, MIDDLES, Grain, usual_variance
from vsr.video.pixels import Pixels

_PAIRS = 8
"""Pairs of neighbouring frames that are looked at."""
_LEAST = 0.8 / 255
"""Deviation below which there is no grain to speak of: a codec's or a camera's own noise."""
_FAINT = 0.02
"""Components with less of the variance are left out."""
_SAME = 0.05 / 255
"""Frames that differ less are the same picture, shown twice."""
_NEAR, _WIDE, _WIDE_SHARE = 0.6, 4.0, 0.03
"""Widths, in steps of brightness, over which a curve is smoothed; the second where blocks lack."""


def measure_grain(pictures: Sequence[Pixels]) -> Grain | None:
    """Return the grain of the consecutive `pictures` of one shot; None if there is none.

    Where two neighbouring frames show the same flat place, what they do not share is grain: its
    variance by brightness, its colours by principal components, and the spectrum of each.
    """
    found = [blocks_between(*pair) for pair in _pairs(pictures)]
    if not found:
        return None
    blocks = gathered(found)
    if len(blocks) < LEAST_BLOCKS:
        return None
    weights = np.bincount(blocks.bins, minlength=BINS) / len(blocks)
    return _described(flat_blocks(blocks), weights, pictures[0].shape[:2])


def _pairs(pictures: Sequence[Pixels]) -> Iterator[tuple[Image, Image]]:
    """Yield some pairs of neighbours, evenly spaced, without frames that are shown twice."""
    count = len(pictures) - 1
    places = np.unique(np.linspace(0, count - 1, min(_PAIRS, count)).round().astype(int))
    for i in places:
        before, after = as_image(pictures[i]), as_image(pictures[i + 1])
        if np.abs(before - after).mean() > _SAME:
            yield before, after


def _described(
    blocks: GrainBlocks, weights: Float[np.ndarray, "bins"], size: tuple[int, ...]
) -> Grain | None:
    """Return the grain of these blocks."""
    pixels = blocks.differences.reshape(-1, 3).astype(np.float64)
    energy, basis = np.linalg.eigh(pixels.T @ pixels / len(pixels))
    kept = [k for k in (2, 1, 0) if energy[k] > _FAINT * energy.sum()]
    if energy.sum() / 3 < _LEAST**2 or not kept:
        return None
    basis = basis[:, kept]
    gains = transfer(blocks.white)
    weights_of_power = np.sqrt(blocks.trust)  # a spectrum needs more blocks than a curve
    spectra, deviations = [], []
    for component in np.moveaxis(blocks.differences @ basis.astype(np.float32), -1, 0):
        variances = _by_brightness(component.var((1, 2)), blocks)
        levels = np.sqrt(variances[blocks.bins])
        spectra.append(fitted_spectrum(seen_spectrum(component, levels, weights_of_power), gains))
        deviations.append(np.sqrt(variances / seen_variance(spectra[-1], gains)))
    grain = Grain((size[0], size[1]), basis, np.stack(spectra), np.stack(deviations), weights)
    return grain if grain.level >= _LEAST else None


def _by_brightness(
    variances: Float[np.ndarray, "n"], blocks: GrainBlocks
) -> Float[np.ndarray, "bins"]:
    """Return the mean variance of each brightness, of blocks with little texture.

    Where there are few, it follows the usual course from those around.
    """
    shares = without_texture(variances / usual_variance(blocks.luma), blocks)
    apart = (blocks.luma[None] - MIDDLES[:, None]) * BINS
    near = sum(
        share * np.exp(-0.5 * (apart / width) ** 2)
        for share, width in ((1.0, _NEAR), (_WIDE_SHARE, _WIDE))
    )
    near = (near + 1e-12 / (1 + np.abs(apart) ** 8)) * blocks.trust
    return usual_variance(MIDDLES) * (near @ shares) / near.sum(1)
