"""Rising decode times of a copied stream, which every muxer demands."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from av.packet import Packet

_EQUAL_TIMES_FORMATS = ("matroska", "webm")
"""Muxers that take two packets of one time, as rounding to 1 ms makes them."""


@dataclass(slots=True)
class PacketOrder:
    """Moves packets whose decode time goes back, by the least that makes it rise.

    `late` counts them, and `farthest` is the longest move in seconds. `count` counts all packets,
    and `refused` those that the muxer did not take.
    """

    count: int = 0
    late: int = 0
    farthest: Fraction = Fraction(0)
    refused: int = 0
    _last: int | None = None

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
