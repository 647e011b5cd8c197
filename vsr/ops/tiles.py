"""Overlapping spatial tiles whose blend weights sum to one, so that no seam shows."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vsr.errors import ConfigError
from vsr.ops.segments import WeightedSegment, blend_plan, fitted_length


@dataclass(frozen=True, slots=True)
class Tile:
    """A crop: rows and columns with their weights; a pixel's weight is their product."""

    rows: WeightedSegment
    columns: WeightedSegment

    def crop(self, x: Float[Tensor, "*n h w"]) -> Float[Tensor, "*n th tw"]:
        """Returns the tile's part of a map, as a view."""
        return x[..., self.rows.start : self.rows.stop, self.columns.start : self.columns.stop]

    def weights(self, like: Tensor) -> Float[Tensor, "th tw"]:
        """Returns the tile's weight in each of its pixels, as a tensor like `like`."""
        return torch.outer(
            like.new_tensor(self.rows.weights), like.new_tensor(self.columns.weights)
        )


def plan_tiles(h: int, w: int, *, tile: int, overlap: int) -> tuple[Tile, ...]:
    """Returns tiles of `tile` x `tile` pixels; neighbours share `overlap` pixels or more.

    The last of a row is moved back to full size; an axis no longer than `tile` has one. Weights
    ramp linearly over each overlap. A plan for maps 4 times larger is that of 4 times all four
    numbers: the crops agree.
    """
    if not 0 <= overlap < tile:
        raise ConfigError(f"tiles need 0 <= overlap < tile, found {overlap = }, {tile = }")
    rows = blend_plan(h, length=tile, stride=tile - overlap)
    columns = blend_plan(w, length=tile, stride=tile - overlap)
    return tuple(Tile(row, column) for row in rows for column in columns)


def fit_tiles(
    h: int, w: int, *, tile: int, overlap: int, multiple_of: int = 1, enlarge: int = 1
) -> tuple[Tile, ...]:
    """Returns as few tiles as `plan_tiles` needs, as small as possible: little is computed twice.

    Their sides are rounded up to `multiple_of`, each axis for itself; `overlap` is at most half a
    tile. With `enlarge` it is the plan of as many tiles for maps that many times larger.
    """
    rows, columns = (
        blend_plan(enlarge * size, length=enlarge * length, stride=enlarge * (length - shared))
        for size in (h, w)
        for length, shared in [_fit(size, tile, min(overlap, tile // 2), multiple_of)]
    )
    return tuple(Tile(row, column) for row in rows for column in columns)


def blend_tiles(
    parts: Iterable[Float[Tensor, "*n _ _"]], tiles: Sequence[Tile]
) -> Float[Tensor, "*n h w"]:
    """Returns the map whose tiles are `parts`, weighted and added; parts may come lazily."""
    h = max(tile.rows.stop for tile in tiles)
    w = max(tile.columns.stop for tile in tiles)
    out: Tensor | None = None
    for part, tile in zip(parts, tiles, strict=True):
        if out is None:
            out = part.new_zeros(*part.shape[:-2], h, w)
        tile.crop(out).add_(part * tile.weights(part))
    assert out is not None, "a plan has at least one tile"
    return out


def _fit(size: int, tile: int, overlap: int, multiple_of: int) -> tuple[int, int]:
    """Length of the tiles along an axis, and what neighbours share at least."""
    length = fitted_length(size, length=tile, overlap=overlap)
    length = min(size, math.ceil(length / multiple_of) * multiple_of)
    return length, overlap if length < size else 0
