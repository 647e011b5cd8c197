"""Files of the machine that hands out tasks, for workers that do not see them."""

from collections.abc import Callable, Iterator
from pathlib import Path

ReadFile = Callable[[Path], Iterator[bytes]]
"""Reads a file of the machine that hands out tasks, piece by piece; OSError where that fails."""

_PIECE_BYTES = 16 << 20


def read_file(path: Path) -> Iterator[bytes]:
    """Yield the content of a file of this machine."""
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
