"""Fallbacks for a run that is out of memory: the ones that cost least come first."""

import gc
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil

import cv2
import torch

from vsr.errors import DeviceError, first_line
from vsr.runtime.device import HalfDtype
from vsr.runtime.memory import give_back_freed_memory

_FEW_FRAMES = 4
"""Shorter clips lose what frames learn from their neighbours, tiles only what is far away."""
_SMALLEST_TILE = 64
_SHORT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "bad_alloc",
    "status_alloc_failed",
    "insufficient memory",
    "could not execute a primitive",
    "could not create a primitive",
)
"""The words of PyTorch, CUDA, cuDNN, cuBLAS, oneDNN and OpenCV for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """The reductions of a run that was out of memory; None: none of that kind.

    They decide the pixels together with the config: a resumed run makes a clip again with the
    reductions that it was made with. Only numbers and words, for a journal.
    """

    clip_frames: int | None = None
    """Largest part of a clip that is computed at once, in frames."""
    tile: int | None = None
    """Size of the spatial tiles, in pixels of the source."""
    offload: bool = False
    """True if idle networks wait in the memory of the CPU."""
    by_rows: bool = False
    """True if maps pass through the networks in strips of rows."""
    dtype: HalfDtype | None = None

    def __str__(self) -> str:
        words = [
            "idle networks on the CPU" if self.offload else "",
            "maps in strips of rows" if self.by_rows else "",
            f"clips of {self.clip_frames} frame(s)" if self.clip_frames else "",
            f"tiles of {self.tile} pixels" if self.tile else "",
            self.dtype or "",
        ]
        return ", ".join(word for word in words if word) or "nothing reduced"


AS_ASKED = Fallback()
"""No reduction."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The reductions that a run and its pipeline allow."""

    frames: int
    """Number of frames of the clip."""
    tile: int
    """Size of what is computed at once, in source pixels: the longer side, or a tile."""
    smallest_tile: int | None = _SMALLEST_TILE
    """Size of the smallest tile; None: the model takes no tiles."""
    tiles_last: bool = False
    """True if the clip itself fills the memory and not the networks, so that tiles hardly help."""
    offload: bool = False
    """True if there is an accelerator whose networks can wait on the CPU."""
    by_rows: bool = False
    """True if maps can pass through the networks in strips of rows."""
    dtype: HalfDtype | None = None
    """A shorter number format for the networks; None: there is none."""


def smaller(current: Fallback, limits: Limits) -> Fallback | None:
    """Returns the next reduction to try after `current` was not enough; None if none is left.

    The order is by cost: idle networks on the CPU and strips of rows change no pixel; shorter clips
    see a little less of the film at their ends; tiles see less of the picture; clips of one or two
    frames lose their neighbours; a short number format rounds.
    """
    few = 1 if limits.tiles_last else _FEW_FRAMES
    frames = min(current.clip_frames or limits.frames, limits.frames)
    tile = min(current.tile or limits.tile, limits.tile)
    if limits.offload and not current.offload:
        return replace(current, offload=True)
    if limits.by_rows and not current.by_rows:
        return replace(current, by_rows=True)
    if frames > few:
        return replace(current, clip_frames=_half(frames, few))
    if limits.smallest_tile is not None and tile > limits.smallest_tile:
        return replace(current, tile=_half(tile, limits.smallest_tile))
    if frames > 1:
        return replace(current, clip_frames=_half(frames, 1))
    if limits.dtype is not None and current.dtype is None:
        return replace(current, dtype=limits.dtype)
    return None


def parts_of(frames: int, longest: int | None) -> Sequence[slice]:
    """Returns the frames of a clip in the fewest equal parts of at most `longest` frames."""
    count = min(frames, 1) if longest is None else ceil(frames / longest)
    ends = [frames * i // max(count, 1) for i in range(count + 1)]
    return [slice(*pair) for pair in pairwise(ends)]


def is_shortage(error: BaseException) -> bool:
    """Returns True for a failed allocation, by whichever library."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # What oneDNN does not compute at all has no descriptor: that is no shortage.
    said = str(error).lower().replace("primitive descriptor", "")
    return isinstance(error, (RuntimeError, cv2.error)) and any(
        words in said for words in _SHORT_OF_MEMORY
    )


def free_memory() -> None:
    """Free the memory of a failed attempt for the next one."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
    give_back_freed_memory()


@contextmanager
def as_device_error(what: str) -> Generator[None]:
    """Turn a failed allocation during `what` into a DeviceError that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError, cv2.error) as error:
        if not is_shortage(error):
            raise
        raise DeviceError(
            f"memory does not suffice for {what} ({short_reason(error)}): end other programs, or "
            "use a machine with more, or --device cpu where the accelerator is what is small"
        ) from error


def short_reason(error: BaseException) -> str:
    """Returns the first line of an error's message, or its class, cut where it is long."""
    return first_line(error)[:200]


def _half(size: int, smallest: int) -> int:
    return max(ceil(size / 2), smallest)
