"""Clocks that jump inside a file: joined recordings, whose times are moved to follow each other."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import av
from av.container.core import Container
from av.packet import Packet

from vsr.video.container import demuxed, open_video
from vsr.video.formats import PLAYLISTS

JOINABLE_FORMATS = ("mpegts", "mpeg", "hls")
"""FFmpeg's names of the containers that stay valid when two of them are joined byte by byte."""

_BACK_SECONDS = Fraction(1, 10)
_AHEAD_SECONDS = Fraction(10)
"""A step back or ahead of more than this is a jump of the clock (the thresholds of FFmpeg)."""
_SAME_JUMP_SECONDS = 5
"""Two streams jump together if their times before and after agree to this."""


@dataclass(frozen=True, slots=True)
class _Jump:
    """A jump of one stream's clock, in seconds; `packet` is the number of the first one after."""

    packet: int
    before: Fraction
    after: Fraction
    step: Fraction

    def distance(self, other: "_Jump") -> Fraction:
        return abs(self.before - other.before) + abs(self.after - other.after)


@dataclass(frozen=True, slots=True)
class Joins:
    """The jumps of a file's clock, closed.

    `offsets` gives for every stream index the numbers of the packets after a jump, each with the
    seconds to add from there on. `times` are those of the jumps and `end` that of the video's end,
    in seconds on the closed clock. `pauses` are times and lengths of gaps that are kept, as sound
    does not jump there. `packets` counts the packets of every stream index that has any.
    """

    offsets: Mapping[int, tuple[tuple[int, Fraction], ...]]
    times: tuple[Fraction, ...]
    packets: Mapping[int, int]
    end: Fraction | None
    pauses: tuple[tuple[Fraction, Fraction], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.times)

    def __str__(self) -> str:
        places = ", ".join(f"{float(seconds):.3f} s" for seconds in self.times)
        return f"its clock jumps at {places}: what follows is moved to follow on"


_NO_JOINS = Joins(MappingProxyType({}), (), MappingProxyType({}), None)


class JoinedPackets:
    """Moves the packets of one reading, from the beginning of the file, onto the closed clock."""

    def __init__(self, joins: Joins) -> None:
        self._joins = joins
        self._numbers: dict[int, int] = {}

    def moved(self, packets: Iterator[Packet]) -> Iterator[Packet]:
        """The packets, each with its time on the closed clock."""
        for packet in packets:
            if self._joins and packet.size:
                self._move(packet)
            yield packet

    def _move(self, packet: Packet) -> None:
        index = packet.stream_index
        number = self._numbers[index] = self._numbers.get(index, -1) + 1
        offsets = self._joins.offsets.get(index, ())
        if not offsets or not packet.time_base:
            return
        moves = [0, *(round(offset / packet.time_base) for _, offset in offsets)]
        ticks = moves[sum(number >= first for first, _ in offsets)]
        pts, dts = packet.pts, packet.dts
        if dts is not None:
            packet.dts = dts + ticks
            if pts is not None and abs(pts - dts) * packet.time_base > _AHEAD_SECONDS:
                # FFmpeg counts decode times on, so that they jump one packet later.
                ticks = min(moves, key=lambda other: abs(pts + other - dts - ticks))
        packet.pts = None if pts is None else pts + ticks


def joins_of(path: Path, container: Container, video: int) -> Joins:
    """The jumps of a file's clock, by a second reading of all its packets.

    Only containers that can be joined byte by byte are read: all others have no jumps, and their
    headers are believed.
    """
    if container.format.name not in JOINABLE_FORMATS:
        return _NO_JOINS
    state = path.stat()
    playlists = container.format.name in PLAYLISTS
    return _scanned(path.absolute(), video, playlists, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _scanned(path: Path, video: int, playlists: bool, _size: int, _changed: int) -> Joins:
    scan = _Scan(video)
    with suppress(av.FFmpegError), open_video(path, playlists=playlists) as (container, _):
        for packet in demuxed(container, list(container.streams)):
            if packet.size and packet.time_base:
                scan.add(packet)
    return scan.joins()  # of what can be read: the reader reports a damaged end


@dataclass(slots=True)
class _Scan:
    """The last time of every stream, and the jumps found so far."""

    video: int
    numbers: dict[int, int] = field(default_factory=dict[int, int])
    last: dict[int, Fraction] = field(default_factory=dict[int, Fraction])
    step: Fraction = Fraction(0)
    jumps: dict[int, list[_Jump]] = field(default_factory=dict[int, list[_Jump]])

    def add(self, packet: Packet) -> None:
        index = packet.stream_index
        number = self.numbers[index] = self.numbers.get(index, -1) + 1
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            return
        seconds = stamp * packet.time_base
        before = self.last.get(index)
        if before is not None:
            gap = seconds - before
            if gap < -_BACK_SECONDS or gap > _AHEAD_SECONDS:
                jump = _Jump(number, before, seconds, self.step)
                self.jumps.setdefault(index, []).append(jump)
            elif index == self.video and gap > 0:
                self.step = gap
        self.last[index] = seconds

    def joins(self) -> Joins:
        others = [jumps for index, jumps in self.jumps.items() if index != self.video]
        alone = len(self.last) == 1
        found = [
            jump
            for jump in self.jumps.get(self.video, [])
            if jump.after < jump.before or alone or any(_partner(jump, other) for other in others)
        ]
        counts = MappingProxyType({index: last + 1 for index, last in self.numbers.items()})
        if not found:
            return replace(_NO_JOINS, packets=counts, pauses=self._pauses(found))
        offset, closed = Fraction(0), list[tuple[_Jump, Fraction]]()
        times: list[Fraction] = []
        for jump in found:
            times.append(jump.before + offset + jump.step)
            offset = times[-1] - jump.after
            closed.append((jump, offset))
        offsets = {index: _followed(jumps, closed) for index, jumps in self.jumps.items()}
        offsets[self.video] = tuple((jump.packet, offset) for jump, offset in closed)
        end = self.last[self.video] + offset + self.step
        closed_clock = MappingProxyType(offsets)
        return Joins(closed_clock, tuple(times), counts, end, self._pauses(found))

    def _pauses(self, closed: Sequence[_Jump]) -> tuple[tuple[Fraction, Fraction], ...]:
        """The jumps of the video's clock that are not closed."""
        kept = [jump for jump in self.jumps.get(self.video, []) if jump not in closed]
        return tuple((jump.before, jump.after - jump.before) for jump in kept)


def _partner(jump: _Jump, others: Sequence[_Jump]) -> _Jump | None:
    """The jump of another stream that is the same jump of the clock."""
    nearest = min(others, key=jump.distance, default=None)
    if nearest is None or nearest.distance(jump) > 2 * _SAME_JUMP_SECONDS:
        return None
    return nearest


def _followed(
    jumps: Sequence[_Jump], closed: Sequence[tuple[_Jump, Fraction]]
) -> tuple[tuple[int, Fraction], ...]:
    """The offsets of a stream beside the video: those of the video's jumps at the same times."""
    found: list[tuple[int, Fraction]] = []
    for jump in jumps:
        other, offset = min(closed, key=lambda pair: pair[0].distance(jump))
        if other.distance(jump) <= 2 * _SAME_JUMP_SECONDS:
            found.append((jump.packet, offset))
    return tuple(found)
