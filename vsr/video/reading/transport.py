"""Counters of transport packets, which tell a join of two recordings from a loss in one."""

from collections.abc import Iterator
from pathlib import Path

_SYNC = 0x47
_SIZES = (188, 192, 204)
"""Bytes of a transport packet: plain, with a time in front (Blu-ray), with error correction."""
_CHECKED = 5
"""Packets in a row that begin with the sync byte prove their size."""
_AROUND = 1 << 19
"""Bytes before and after that hold packets of all streams."""
_STUFFING = 0x1FFF


def others_jump(path: Path, begin: int, end: int, *, stream: int) -> bool:
    """True if counters of other streams than `stream` (a PID) jump near the bytes [begin, end).

    Every stream counts its packets from 0 to 15. In a joined file all counters start anew; where
    packets of one stream are lost, only its own jumps.
    """
    first = max(0, begin - _AROUND)
    with path.open("rb") as file:
        file.seek(first)
        content = file.read(end - first + _AROUND)
    last: dict[int, int] = {}
    for place, pid, counter in _counters(content):
        if pid in (stream, _STUFFING):
            continue
        before = last.get(pid, counter)
        last[pid] = counter
        # The same number twice is a packet that is sent twice.
        if first + place >= begin and counter not in (before, (before + 1) % 16):
            return True
    return False


def _counters(content: bytes) -> Iterator[tuple[int, int, int]]:
    """The place, PID and counter of every transport packet with a payload."""
    place, size = _grid(content)
    while size and place + 4 <= len(content):
        head = content[place : place + 4]
        if head[0] == _SYNC and head[3] & 0x10:
            yield place, (head[1] & 0x1F) << 8 | head[2], head[3] & 0x0F
        place += size


def _grid(content: bytes) -> tuple[int, int]:
    """The place of the first transport packet and the size of all; 0 if there are none."""
    for size in _SIZES:
        for place in range(min(size, len(content))):
            starts = content[place : place + size * _CHECKED : size]
            if len(starts) == _CHECKED and set(starts) == {_SYNC}:
                return place, size
    return 0, 0
