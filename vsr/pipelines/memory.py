"""MemoryTraits: what of a pipeline can give way when memory runs out."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryTraits:
    """What a pipeline allows a run that needs less memory to change."""

    smallest_tile: int | None = 64
    """Size of the smallest spatial tile, in pixels of the small frames; None: no tiles."""
    tiles_last: bool = False
    """The clip itself fills the memory and not the networks, so that tiles hardly help."""
    offloads: bool = False
    """Idle networks can wait on the CPU."""
    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.bfloat16, torch.float16)
    """Number formats in which the networks compute."""
