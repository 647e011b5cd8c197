"""3-D attention windows over maps of any size: border windows are smaller, nothing is masked.

There are no padding tokens, as in SeedVR (Wang et al. 2025, section 3.1). Along an axis the windows
form at most two runs of equal size (three when shifted), so that a map consists of at most 8 (27)
boxes, each of which is one batch of equal windows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, product

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from vsr.errors import ConfigError

Size3 = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring windows of equal `size` on one axis, over [start, start + count * size)."""

    start: int
    size: int
    count: int

    @property
    def span(self) -> slice:
        """The half-open range of the axis that the run covers."""
        return slice(self.start, self.start + self.count * self.size)


@dataclass(frozen=True, slots=True)
class WindowGroup:
    """All windows of one size: a box of the map, cut into equal windows along t, h and w."""

    t: Run
    h: Run
    w: Run

    @property
    def size(self) -> Size3:
        """Size of each window in frames, rows and columns."""
        return self.t.size, self.h.size, self.w.size

    @property
    def count(self) -> int:
        """Number of windows in the group, for one batch entry."""
        return self.t.count * self.h.count * self.w.count


@lru_cache(maxsize=256)
def window_groups(
    shape: Size3, *, window: Size3, shifted: bool = False, is_strip: bool = False
) -> tuple[WindowGroup, ...]:
    """Returns the groups that cover a map of (t, h, w), each token once; w varies fastest.

    Shifted windows begin half a window earlier, as in Swin (Liu et al. 2021, section 3.2), except
    along an axis that a single window spans, and along the rows of a strip of `strips`. Raises
    ConfigError for a size below 1.
    """
    if min(*shape, *window) < 1:
        raise ConfigError(f"windows need sizes of at least 1, found {shape = }, {window = }")
    shifts = (shifted, shifted and not is_strip, shifted)
    axes = [_runs(*axis) for axis in zip(shape, window, shifts, strict=True)]
    return tuple(WindowGroup(*runs) for runs in product(*axes))


def strips(rows: int, *, window: int, shifted: bool, longest: int) -> list[int]:
    """Returns the heights of strips of a map, of about `longest` rows, that end where windows end.

    No window of `window` rows lies in two of them.
    """
    heights: list[int] = []
    for run in _runs(rows, window, shifted):
        height = max(longest // run.size, 1) * run.size
        full, rest = divmod(run.count * run.size, height)
        heights += [height] * full + [rest] * (rest > 0)
    return heights


def partition(
    x: Float[Tensor, "b c t h w"], groups: Sequence[WindowGroup]
) -> list[Float[Tensor, "windows tokens c"]]:
    """Returns the tokens of every window, one batch per group; windows are ordered (b, t, h, w).

    The map is copied once, fastest if its channels are innermost in memory.
    """
    return [
        rearrange(
            x[:, :, group.t.span, group.h.span, group.w.span],
            "b c (nt wt) (nh wh) (nw ww) -> (b nt nh nw) (wt wh ww) c",
            wt=group.t.size,
            wh=group.h.size,
            ww=group.w.size,
        )
        for group in groups
    ]


def merge(
    parts: Sequence[Float[Tensor, "_windows _tokens c"]], groups: Sequence[WindowGroup]
) -> Float[Tensor, "b c t h w"]:
    """Returns the map from which `partition` cut the parts, with channels innermost in memory."""
    boxes = zip(groups, map(_box, parts, groups), strict=True)
    slabs: list[Tensor] = []
    for _, slab in groupby(boxes, key=lambda item: item[0].t):
        rows = [
            _join([box for _, box in row], dim=3)
            for _, row in groupby(slab, key=lambda item: item[0].h)
        ]
        slabs.append(_join(rows, dim=2))
    return rearrange(_join(slabs, dim=1), "b t h w c -> b c t h w")


def _runs(n: int, size: int, shifted: bool) -> tuple[Run, ...]:
    head = size // 2 if shifted and n > size else 0
    full, tail = divmod(n - head, size)
    runs = (Run(0, head, 1), Run(head, size, full), Run(n - tail, tail, 1))
    return tuple(run for run in runs if run.size > 0 and run.count > 0)


def _box(tokens: Tensor, group: WindowGroup) -> Tensor:
    return rearrange(
        tokens,
        "(b nt nh nw) (wt wh ww) c -> b (nt wt) (nh wh) (nw ww) c",
        nt=group.t.count,
        nh=group.h.count,
        nw=group.w.count,
        wt=group.t.size,
        wh=group.h.size,
        ww=group.w.size,
    )


def _join(tensors: list[Tensor], *, dim: int) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim)
