"""Colours for places of which none are known: those of like luma nearby, else in the palette.

A bilateral grid (Chen et al. 2007) over place and luma holds the mean of what is known; coarser
grids stand in where a finer one has nothing, and the palette of a reference is the coarsest.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_LUMAS = 17
_CELLS = (1 / 4, 1 / 12, 1 / 32)
"""Sides of the cells of the grids, as shares of the longer side of the frame."""
_LEAST = 0.01
"""Known share of a cell at which it counts as much as the coarser grid."""
_TRACE = 1e-4


def palette_of(
    luma: Float[Tensor, "1 1 h w"], chroma: Float[Tensor, "1 2 h w"]
) -> Float[Tensor, "1 3 lumas 1 1"]:
    """Return the mean chroma of each luma of a picture, in the form of a grid."""
    return _grid(luma, chroma, torch.ones_like(luma), cell=0)


def filled(
    luma: Float[Tensor, "1 1 h w"],
    chroma: Float[Tensor, "1 2 h w"],
    weight: Float[Tensor, "1 1 h w"],
    *,
    palettes: Sequence[tuple[float, Float[Tensor, "1 3 lumas 1 1"]]],
    large: Float[Tensor, "1 1 h2 w2"],
) -> Float[Tensor, "1 2 h2 w2"]:
    """Return chroma for the frame `large` from what is known of it at a smaller size.

    `weight` says how much the chroma at each place is known, in [0, 1]; `palettes` are those of
    the references, with their shares.
    """
    palette = _at(torch.stack([share * sums for share, sums in palettes]).sum(dim=0), large)
    found = palette[:, :2] / (palette[:, 2:] + _TRACE)
    for cell in _CELLS:
        sums = _at(_grid(luma, chroma, weight, cell=cell), large)
        found = (sums[:, :2] + _LEAST * found) / (sums[:, 2:] + _LEAST)
    return found


def _grid(
    luma: Float[Tensor, "1 1 h w"],
    chroma: Float[Tensor, "1 2 h w"],
    weight: Float[Tensor, "1 1 h w"],
    *,
    cell: float,
) -> Float[Tensor, "1 3 lumas rows columns"]:
    """Return sums of chroma and of weight in cells over luma, rows and columns.

    `cell` is their side as a share of the longer side; 0: the frame is one cell, a palette.
    """
    h, w = luma.shape[-2:]
    longer = max(h, w)
    shape = (_LUMAS, *(_cells(side / longer, cell) for side in (h, w)))
    rows = np.rint(np.linspace(0, shape[1] - 1, h)).astype(int)[:, None]
    columns = np.rint(np.linspace(0, shape[2] - 1, w)).astype(int)
    level = np.rint(luma[0, 0].cpu().numpy() * (_LUMAS - 1)).astype(int)
    place = ((np.clip(level, 0, _LUMAS - 1) * shape[1] + rows) * shape[2] + columns).ravel()
    given = weight[0, 0].cpu().numpy().astype(np.float64)
    known = chroma[0].cpu().numpy() * given
    scale = shape[1] * shape[2] / (h * w)
    sums = [
        np.bincount(place, part.ravel(), minlength=int(np.prod(shape))).reshape(shape) * scale
        for part in (*known, given)
    ]
    return _blurred(torch.from_numpy(np.stack(sums)[None].astype(np.float32)).to(luma.device))


def _at(
    grid: Float[Tensor, "1 3 lumas rows columns"], luma: Float[Tensor, "1 1 h w"]
) -> Float[Tensor, "1 3 h w"]:
    """Return the sums at the luma and place of each pixel of a frame of any size."""
    h, w = luma.shape[-2:]
    rows = torch.linspace(-1, 1, h, device=luma.device)[:, None].expand(h, w)
    columns = torch.linspace(-1, 1, w, device=luma.device).expand(h, w)
    places = torch.stack((columns, rows, 2 * luma[0, 0].clamp(0, 1) - 1), dim=-1)
    found = F.grid_sample(grid, places[None, None], padding_mode="border", align_corners=True)
    return found[:, :, 0]


def _cells(side: float, cell: float) -> int:
    return 1 if cell == 0 else max(2, round(side / cell) + 1)


def _blurred(grid: Float[Tensor, "1 n d h w"]) -> Float[Tensor, "1 n d h w"]:
    """Return the grid smoothed by [1 2 1] / 4 along luma and place; beyond it is nothing."""
    for dim in (2, 3, 4):
        if grid.shape[dim] == 1:
            continue
        border = [0, 0, 0, 0, 0, 0]
        border[2 * (4 - dim) : 2 * (4 - dim) + 2] = (1, 1)
        wide = F.pad(grid, border)
        n = grid.shape[dim]
        grid = (wide.narrow(dim, 0, n) + 2 * grid + wide.narrow(dim, 2, n)) / 4
    return grid
