"""MemoryTraits: the ways in which a pipeline can use less memory."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryTraits:
    """The ways in which a pipeline can use less memory."""

    smallest_tile: int | None = 64
    """Size of the smallest spatial tile, in pixels of the small frames; None: no tiles."""
    tiles_last: bool = False
    """The clip itself fills the memory and not the networks, so that tiles hardly help."""
    offloads: bool = False
    """Idle networks can wait on the CPU."""
    by_rows: bool = False
    """Maps can pass through its networks in strips of rows, to the same numbers."""
    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.bfloat16, torch.float16)
    """Number formats in which the networks compute."""
