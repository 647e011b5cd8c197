"""Clean frames: only reduced, with neither blur, noise nor compression, told by their spectrum."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import numpy as np
from jaxtyping import Float
from safetensors.numpy import load

from vsr.video.pixels import Pixels
from vsr.video.reading.bars import luma

LEAST = -0.5
"""Mean log odds of clean tiles above which frames are clean: those of clean clips lie at 0 to 0.7,
those of clips that were damaged and then kept without loss below -1."""
TILE = 64
"""Rows and columns of a tile."""
_BLOCK, _STRIDE = 8, 4
_LEAST_CONTRAST = 6.0
"""Standard deviation of luma, in levels, of a tile that tells something."""
_FEWEST_TILES, _MOST_TILES = 4, 96
"""Fewer tiles say nothing; of more, those at equal distances are looked at."""
_LAYERS = ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0))
"""The blocks of a tile by their activity, as parts of their number."""
_QUIET = 0.35
"""Coefficients below this, in levels, are as good as zero."""
_FLOOR = 0.2
_WEIGHTS = "clean_frames.safetensors"


def are_clean(frames: Sequence[Pixels]) -> bool:
    """Return True if the frames seem to have lost nothing but their size.

    Tiles of 64x64 pixels are judged one by one, and the mean decides. Frames in which nothing can
    be seen are not clean.
    """
    tiles = _telling(np.concatenate([_tiles(luma(frame)) for frame in frames]))
    if len(tiles) < _FEWEST_TILES:
        return False
    return bool(cleanness(statistics(tiles), _weights()).mean() > LEAST)


def cleanness(
    found: Float[np.ndarray, "n f"], weights: Mapping[str, np.ndarray]
) -> Float[np.ndarray, " n"]:
    """Return the log odds, by a network of two layers, that tiles of these statistics are clean."""
    scaled = (found - weights["mean"]) / weights["deviation"]
    hidden = np.maximum(scaled @ weights["hidden.weight"].T + weights["hidden.bias"], 0)
    return hidden @ weights["out.weight"][0] + weights["out.bias"]


def statistics(tiles: Float[np.ndarray, "n 64 64"]) -> Float[np.ndarray, "n f"]:
    """Return what tells clean tiles of luma from others: the strengths of their frequencies.

    Of each pair of frequencies (along rows and columns, or turned), the logarithm of the root mean
    square coefficient of 8x8 blocks, in quiet to busy blocks, and the share that is zero. Blur and
    codecs take the fine ones from some blocks, noise adds them to all.
    """
    basis = _cosines()
    blocks = np.lib.stride_tricks.sliding_window_view(tiles, (_BLOCK, _BLOCK), axis=(1, 2))
    blocks = blocks[:, ::_STRIDE, ::_STRIDE].reshape(len(tiles), -1, _BLOCK, _BLOCK)
    strengths = np.abs(basis @ blocks @ basis.T)
    strengths[:, :, 0, 0] = 0
    activity = np.square(strengths).sum((2, 3))
    order = np.argsort(activity, axis=1)[:, :, None, None]
    strengths = np.take_along_axis(strengths, order, axis=1)
    count = strengths.shape[1]
    found: list[np.ndarray] = []
    for low, high in _LAYERS:
        power = np.square(strengths[:, int(low * count) : int(high * count)]).mean(1)
        found.append(np.log(np.sqrt(_paired(power)) + _FLOOR))
    found.append(_paired((strengths < _QUIET).mean(1)))
    return np.concatenate(found, axis=1).astype(np.float32)


def _paired(values: Float[np.ndarray, "n 8 8"]) -> Float[np.ndarray, "n 35"]:
    """Return the mean of each frequency and the turned one, without the constant."""
    rows, columns = np.triu_indices(_BLOCK)
    return ((values + values.transpose(0, 2, 1)) / 2)[:, rows[1:], columns[1:]]


@cache
def _cosines() -> Float[np.ndarray, "8 8"]:
    """Return the basis of the discrete cosine transform of eight values."""
    places = np.arange(_BLOCK)
    basis = np.cos(np.outer(places, 2 * places + 1) * np.pi / (2 * _BLOCK)) * np.sqrt(2 / _BLOCK)
    basis[0] /= np.sqrt(2)
    return basis.astype(np.float32)


@cache
def _weights() -> dict[str, np.ndarray]:
    """Return the weights that `tools/fit_clean_frames.py` found."""
    return load((files("vsr") / "assets" / _WEIGHTS).read_bytes())


def _tiles(plane: np.ndarray) -> Float[np.ndarray, "n 64 64"]:
    """Return the whole tiles of a plane."""
    height, width = (length // TILE * TILE for length in plane.shape)
    cut = plane[:height, :width].astype(np.float32)
    rows = cut.reshape(height // TILE, TILE, width // TILE, TILE)
    return rows.swapaxes(1, 2).reshape(-1, TILE, TILE)


def _telling(tiles: Float[np.ndarray, "n 64 64"]) -> Float[np.ndarray, "m 64 64"]:
    """Return the tiles with enough contrast, or some of them."""
    telling = tiles[tiles.std((1, 2)) > _LEAST_CONTRAST]
    step = -(-len(telling) // _MOST_TILES) or 1
    return telling[::step]
