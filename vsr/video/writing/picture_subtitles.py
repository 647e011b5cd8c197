"""Picture subtitles of discs that are still shown where a part of a film begins.

Their packets rarely have a duration. A Blu-ray subtitle (PGS) is shown until the next composition,
a DVD subtitle until the stop date that it holds, or until the next one.
"""

from fractions import Fraction

from av.packet import Packet
from av.stream import Stream

from vsr.video.container import codec_name

_PGS, _DVD = "hdmv_pgs_subtitle", "dvd_subtitle"

_COMPOSITION = 0x16
"""The kind of a segment of PGS that says which objects are shown, the first of its set."""
_STATE, _OBJECTS = 10, 13
"""Places of its state and its number of objects. State 0 builds on the compositions before."""

_STOP, _END = 0x02, 0xFF
_ARGUMENT_BYTES = {0x00: 0, 0x01: 0, 0x03: 2, 0x04: 2, 0x05: 6, 0x06: 4}
"""Commands of DVD subtitles, and the bytes of their arguments."""
_DATE_SECONDS = Fraction(1024, 90000)


def is_picture_subtitle(stream: Stream) -> bool:
    """Return True for subtitles of Blu-rays and DVDs."""
    return stream.type == "subtitle" and codec_name(stream) in (_PGS, _DVD)


class ShownSubtitles:
    """The packets of one stream that are needed to show what is shown at a time."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._is_pgs = codec_name(stream) == _PGS
        self._packets: list[Packet] = []

    def add(self, packet: Packet) -> None:
        """Take a packet that begins before the time."""
        if not self._is_pgs:
            self._packets = [packet]
            return
        data = bytes(packet)
        if data[:1] == bytes([_COMPOSITION]) and len(data) > _OBJECTS:
            if data[_STATE] or not data[_OBJECTS]:
                self._packets.clear()
            if not data[_OBJECTS]:  # it ends what is shown
                return
        elif not self._packets:
            return
        self._packets.append(packet)

    def begun_at(self, seconds: Fraction) -> list[Packet]:
        """Return what is shown at a time, in packets that begin then, and forget it."""
        packets, self._packets = self._packets, []
        if self._is_pgs:
            return [self._moved(packet, bytes(packet), seconds) for packet in packets]
        return [
            self._dvd_moved(packet, seconds) for packet in packets if _ends_after(packet, seconds)
        ]

    def _dvd_moved(self, packet: Packet, seconds: Fraction) -> Packet:
        """Return the packet, which stops as before: its stop date counts from its beginning."""
        data = bytearray(bytes(packet))
        for place in _stop_dates(data):
            date = int.from_bytes(data[place : place + 2])
            late = round((seconds - _begin(packet)) / _DATE_SECONDS)
            data[place : place + 2] = max(1, date - late).to_bytes(2)
        return self._moved(packet, bytes(data), seconds)

    def _moved(self, packet: Packet, data: bytes, seconds: Fraction) -> Packet:
        moved = Packet(data)
        moved.stream, moved.time_base = self._stream, packet.time_base
        moved.pts = moved.dts = round(seconds / packet.time_base)
        moved.is_keyframe = packet.is_keyframe
        if packet.duration and packet.pts is not None:
            moved.duration = max(1, packet.pts + packet.duration - moved.pts)
        return moved


def _ends_after(packet: Packet, seconds: Fraction) -> bool:
    """Return True if a DVD subtitle is shown longer than until a time, as far as it tells."""
    data = bytes(packet)
    lengths = [int.from_bytes(data[at : at + 2]) * _DATE_SECONDS for at in _stop_dates(data)]
    if packet.duration:
        lengths.append(packet.duration * packet.time_base)
    return not lengths or _begin(packet) + max(lengths) > seconds


def _stop_dates(data: bytes | bytearray) -> list[int]:
    """Return the places of the dates at which a DVD subtitle stops, one at most in most films."""
    found: list[int] = []
    at, before = int.from_bytes(data[2:4]), 0
    while before < at <= len(data) - 4:
        place = at + 4
        while place < len(data) and data[place] != _END:
            if data[place] == _STOP:
                found.append(at)
            elif data[place] not in _ARGUMENT_BYTES:
                break
            place += 1 + _ARGUMENT_BYTES.get(data[place], 0)
        at, before = int.from_bytes(data[at + 2 : at + 4]), at  # the last one names itself
    return found


def _begin(packet: Packet) -> Fraction:
    stamp = packet.pts if packet.pts is not None else packet.dts
    assert stamp is not None
    return stamp * packet.time_base
