"""Rising decode times of a copied stream, which every muxer demands."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import av
from av.packet import Packet

from vsr.video.container import demuxed, open_video
from vsr.video.joins import JOINABLE_FORMATS, JoinedPackets, joins_of
from vsr.video.probe import VideoInfo

_EQUAL_TIMES_FORMATS = ("matroska", "webm")
"""Muxers that take two packets of one time, as rounding to 1 ms makes them."""


@dataclass(slots=True)
class PacketOrder:
    """Moves packets whose decode time goes back, by the least that makes it rise.

    `late` counts them, and `farthest` is the longest move in seconds. `count` counts all packets.
    """

    count: int = 0
    late: int = 0
    farthest: Fraction = Fraction(0)
    _last: int | None = None

    @property
    def note(self) -> str | None:
        """A sentence on the packets that are moved; None if there are none."""
        if not self.late:
            return None
        return (
            f"the times of {self.late} packets go back: they are moved by up to "
            f"{float(self.farthest):.3f} s to follow the packets before"
        )

    def move(self, packet: Packet) -> None:
        """Give a packet of an output stream the earliest times that can follow."""
        self.count += 1
        stamp = packet.dts if packet.dts is not None else packet.pts
        target = packet.stream.time_base
        if stamp is None or not target:
            return
        ticks = round(stamp * packet.time_base / target)
        if self._last is not None:
            rises = packet.stream.container.format.name not in _EQUAL_TIMES_FORMATS
            first = self._last + rises
            if ticks < first:
                self._delay(packet, ceil(first * target / packet.time_base), stamp)
                ticks = first
        self._last = ticks

    def _delay(self, packet: Packet, earliest: int, stamp: int) -> None:
        self.late += 1
        self.farthest = max(self.farthest, (earliest - stamp) * packet.time_base)
        packet.dts = earliest
        packet.pts = earliest if packet.pts is None else max(packet.pts, earliest)


def clock_notes(source: VideoInfo) -> Iterator[str]:
    """One sentence on jumps of the clock, and one for each other stream that has late packets.

    All packets are read, and only those of containers that can be joined byte by byte.
    """
    if not source.container.startswith(JOINABLE_FORMATS):
        return
    orders: dict[int, PacketOrder] = {}
    with open_video(source.path, playlists=source.is_playlist) as (container, video):
        others = [stream for stream in container.streams if stream.index != video.index]
        joins = joins_of(source.path, container, video.index)
        if joins:
            yield str(joins)
        with suppress(av.FFmpegError):
            for packet in JoinedPackets(joins).moved(demuxed(container, others)):
                orders.setdefault(packet.stream_index, PacketOrder()).move(packet)
    for index, order in sorted(orders.items()):
        if order.note:
            yield f"stream {index}: {order.note}"
