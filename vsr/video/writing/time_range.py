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
from vsr.video.writing.picture_subtitles import ShownSubtitles, is_picture_subtitle

_LONGEST_SUBTITLE_SECONDS = 30
"""Subtitles that began this long before the range are looked for: they may still be shown."""
_LATE_SECONDS = 1
"""Files hold subtitles at most so long behind the pictures with which they are shown."""
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
    packets = JoinedPackets(joins).moved(demuxed(container, streams))
    timed = (p for p in packets if p.size and (p.pts is not None or p.dts is not None))
    if begin is not None:
        pictures = {s.index: ShownSubtitles(s) for s in streams if is_picture_subtitle(s)}
        timed = _with_shown_pictures(timed, begin, pictures)
    for packet in timed:
        seconds = packet_seconds(packet)
        if begin is not None and _is_shown_at(begin, packet):
            _begin_at(begin, packet)
            yield packet
        elif seconds in span:
            yield packet
        elif span.end is not None and seconds > span.end + _REORDER_SECONDS:
            return


def _with_shown_pictures(
    packets: Iterator[Packet], begin: Fraction, shown: dict[int, ShownSubtitles]
) -> Iterator[Packet]:
    """Let picture subtitles that are shown at a time begin then; those before it are left out."""
    waiting = dict(shown)
    for packet in packets:
        seconds, index = packet_seconds(packet), packet.stream_index
        if seconds < begin and index in shown:
            shown[index].add(packet)
            continue
        if index in waiting and seconds > begin:
            yield from waiting.pop(index).begun_at(begin)
        elif index in waiting:  # the next one begins just then
            del waiting[index]
        elif seconds > begin + _LATE_SECONDS:
            for other in tuple(waiting):
                yield from waiting.pop(other).begun_at(begin)
        yield packet
    for subtitles in waiting.values():
        yield from subtitles.begun_at(begin)


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
