"""What a launcher (accelerate, torchrun) tells its processes by their environment."""

import os
from pathlib import Path

import psutil

_WORLD, _LOCAL_RANK = "WORLD_SIZE", "LOCAL_RANK"


def launched_with_others() -> bool:
    """Whether this is one of several processes that were started together for one task."""
    return _number(_WORLD, 1) > 1


def local_rank() -> int:
    """The number of this process among those on this machine: its accelerator has that number."""
    return _number(_LOCAL_RANK, 0)


def made_by_this_launch(path: Path) -> bool:
    """Whether a process that was started together with this one was so quick as to make `path`."""
    if not (launched_with_others() and path.exists()):
        return False
    return path.stat().st_mtime >= psutil.Process(os.getppid()).create_time()


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default
