"""A range of a source, and the packets in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import av
from av.container.input import InputContainer
from av.packet import Packet
from av.stream import Stream

from vsr.video.container import demuxed
from vsr.video.joins import JoinedPackets, joins_of
from vsr.video.probe import VideoInfo

_LONGEST_SUBTITLE_SECONDS = 30
"""Subtitles that began this long before the range are looked for: they may still be shown."""
_REORDER_SECONDS = 5
"""Packets this far past the end of the range show that nothing of it is still to come."""


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A part of the source, in seconds on its own clock; None: as far as it goes."""

    begin: Fraction | None
    end: Fraction | None

    def __contains__(self, seconds: Fraction) -> bool:
        after_begin = self.begin is None or seconds >= self.begin
        return after_begin and (self.end is None or seconds < self.end)


WHOLE = TimeRange(None, None)
"""All of a source."""


def source_range(source: VideoInfo, start: Fraction, duration: Fraction | None) -> TimeRange:
    """The range of `start` and `duration` (seconds from the first frame) on the source's clock."""
    first = source.start_pts * source.time_base
    return TimeRange(
        begin=first + start if start else None,
        end=None if duration is None else first + start + duration,
    )


def packets_in_range(
    source: VideoInfo, container: InputContainer, streams: list[Stream], span: TimeRange
) -> Iterator[Packet]:
    """The packets of streams that have a time in a range; jumps of the clock are closed.

    A subtitle that is already shown where the range begins goes along, and begins there.
    """
    if not streams:
        return
    joins = joins_of(source.path, container, source.stream_index)
    begin = span.begin
    if begin is not None and not joins:
        has_subtitles = any(stream.type == "subtitle" for stream in streams)
        early = begin - _LONGEST_SUBTITLE_SECONDS if has_subtitles else begin
        container.seek(int(max(early, Fraction(0)) * av.time_base))
    for packet in JoinedPackets(joins).moved(demuxed(container, streams)):
        if packet.size == 0 or (packet.pts is None and packet.dts is None):
            continue
        seconds = packet_seconds(packet)
        if begin is not None and _is_shown_at(begin, packet):
            _begin_at(begin, packet)
            yield packet
        elif seconds in span:
            yield packet
        elif span.end is not None and seconds > span.end + _REORDER_SECONDS:
            return


def packet_seconds(packet: Packet) -> Fraction:
    """The time at which a packet is shown, or else decoded."""
    stamp = packet.pts if packet.pts is not None else packet.dts
    assert stamp is not None
    return stamp * packet.time_base


def _is_shown_at(seconds: Fraction, packet: Packet) -> bool:
    """True for a subtitle that begins before a time and ends after it."""
    begin = packet_seconds(packet)
    length = (packet.duration or 0) * packet.time_base
    return packet.stream.type == "subtitle" and begin < seconds < begin + length


def _begin_at(seconds: Fraction, packet: Packet) -> None:
    """Let a subtitle begin later, and end as before."""
    late = ceil((seconds - packet_seconds(packet)) / packet.time_base)
    packet.pts = packet.dts = round(packet_seconds(packet) / packet.time_base) + late
    packet.duration = (packet.duration or 0) - late
