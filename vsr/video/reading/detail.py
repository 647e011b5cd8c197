"""The effective resolution of frames, from the spectrum of their luma."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from vsr.video.pixels import Pixels
from vsr.video.reading.bars import luma

_STRONG, _WEAK = (2.0, 3.0, 4.0), 1.5
"""The reductions that are tried: each strong one after the one before it fits, else the weak one.
Noise of a codec fills the band that the weak one is judged by, so it says nothing about others."""
_TILE = 64
_WINDOW = np.outer(np.hanning(_TILE), np.hanning(_TILE)).astype(np.float32)
_TYPICAL, _FINEST = 95, 99.5
"""Percentiles of tiles, by their fine detail: textures, and the few tiles with text or edges."""
_TYPICAL_LIMIT, _FINEST_LIMIT = 0.05, 0.11
"""Largest share of fine detail in a frame that may be reduced. Frames that were enlarged twofold
have up to 0.048 and 0.08 after x264 at crf 28; sharp ones 0.06 to 0.3, and text 0.3 to 1."""
_SMOOTH = 20
"""Percentile of tiles whose power in the finest band is taken for noise: grain, mostly."""
_FINEST_BAND = (0.4, 0.5)
"""Cycles per pixel: noise is as strong there as elsewhere, and enlarged frames have no more."""
_CONTRAST, _ABOVE_NOISE = 20.0, 25.0
"""A tile tells something if its coarse band has this power, and so many times that of noise."""
_FEWEST_TILES, _TELLING_SHARE = 8, 0.2
"""With fewer tiles that tell something, as under heavy grain, frames stay as they are."""


def reduction(frames: Sequence[Pixels]) -> float:
    """Return the factor by which frames can be reduced and lose no detail; 1 if there is none.

    Frames are cut into tiles of 64x64 pixels. For a factor f, the power of each tile in the octave
    above the Nyquist frequency of the reduced frame, less that of the noise, is divided by the
    power in the octave below it. In frames that were enlarged it falls off there, in sharp ones it
    does not, whatever their contrast. The tiles of the highest quotients decide, so that one line
    of text keeps its frame whole. Noise has little share since only tiles of high contrast count.
    Waves along the axes are left out: edges of blocks, fields and the frame are there.
    """
    power = _power(frames)
    fitting = list(takewhile(partial(_fits, power), _STRONG))
    if fitting:
        return fitting[-1]
    return _WEAK if _fits(power, _WEAK) else 1.0


def _power(frames: Sequence[Pixels]) -> NDArray[np.float32]:
    """Return the mean power spectra of the tiles: `tiles 64 33`."""
    total = np.zeros((0, _TILE, _TILE // 2 + 1), np.float32)
    for frame in frames:
        tiles = np.stack([*_tiles(luma(frame)), np.zeros((_TILE, _TILE), np.uint8)])[:-1]
        centred = (tiles - tiles.mean(axis=(1, 2), keepdims=True, dtype=np.float32)) * _WINDOW
        spectra = np.abs(np.fft.rfft2(centred)).astype(np.float32) ** 2 / np.sum(_WINDOW**2)
        total = spectra if not len(total) else total + spectra
    return total / np.float32(max(len(frames), 1))


def _tiles(plane: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    height, width = plane.shape
    if min(height, width) < _TILE:
        return
    for top in _starts(height):
        for left in _starts(width):
            yield plane[top : top + _TILE, left : left + _TILE]


def _starts(length: int) -> list[int]:
    last = length - _TILE
    return sorted({*range(0, last, _TILE // 2), last})


def _fits(power: NDArray[np.float32], factor: float) -> bool:
    """Return True if the tiles have hardly any power that a reduction by `factor` removes."""
    nyquist = 0.5 / factor
    fine = _band(power, 1.12 * nyquist, min(2 * nyquist, 0.5))
    coarse = _band(power, nyquist / 2, nyquist)
    noise = np.percentile(_band(power, *_FINEST_BAND), _SMOOTH) if len(power) else 0.0
    telling = coarse > max(_CONTRAST, _ABOVE_NOISE * noise)
    if telling.sum() < max(_FEWEST_TILES, _TELLING_SHARE * len(telling)):
        return False
    share = (fine[telling] - noise) / coarse[telling]
    typical, finest = np.percentile(share, [_TYPICAL, _FINEST])
    return bool(typical <= _TYPICAL_LIMIT and finest <= _FINEST_LIMIT)


def _band(power: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """Return the mean power of each tile at spatial frequencies (cycles per pixel) in a ring."""
    rows, columns = np.fft.fftfreq(_TILE)[:, None], np.fft.rfftfreq(_TILE)[None]
    radius = np.hypot(rows, columns)
    axis = 1.5 / _TILE
    ring = (radius >= low) & (radius < high) & (np.abs(rows) > axis) & (columns > axis)
    return power[:, ring].mean(axis=1)
