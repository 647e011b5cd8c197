"""The ways in which a pipeline can use less memory, and memory between its stages."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vsr.models.blocks import is_too_large_at_once
from vsr.runtime.memory import release_freed_memory


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


def end_stage(clip: Float[Tensor, "1 c t h w"]) -> None:
    """Release what a stage has freed, where the next one needs memory for a large clip on a CPU."""
    if clip.device.type == "cpu" and is_too_large_at_once(clip):
        release_freed_memory()
