"""Every stream beside the video, copied packet by packet into the output, bit for bit."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import av
from av.container.input import InputContainer
from av.container.output import OutputContainer
from av.packet import Packet
from av.stream import Discard, Stream

from vsr.video.container import demuxed, is_cover, open_video, printable, reason_of
from vsr.video.joins import JoinedPackets, joins_of
from vsr.video.matroska import matroska_tables
from vsr.video.probe import VideoInfo
from vsr.video.writing.flac import FlacTrack
from vsr.video.writing.packet_order import PacketOrder
from vsr.video.writing.stream_fates import is_converted

_log = logging.getLogger(__name__)

_STALE_TAGS = ("duration", "encoder", "bps", "number_of_", "_statistics", "alpha_mode")
_MOV_TAGS = {"title", "artist", "album", "date", "comment", "genre", "copyright", "creation_time"}
_MP4_TAGS = _MOV_TAGS | {
    *("album_artist", "composer", "description", "synopsis", "show", "network", "episode_id"),
    *("grouping", "lyrics", "keywords", "track", "disc", "media_type"),
}
"""The tags for which these have names of their own."""
_USUAL_HANDLERS = ("VideoHandler", "SoundHandler", "SubtitleHandler", "DataHandler")
_MP4_ONLY_TAGS = ("handler_name", "vendor_id", "name")
_FILE_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder")
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


class StreamCopier:
    """Brings the packets of the other streams into the output, in step with the video."""

    def __init__(
        self,
        source: VideoInfo,
        container: InputContainer,
        output: OutputContainer,
        *,
        streams: list[Stream],
        span: TimeRange,
    ) -> None:
        self._source = source
        self._container = container
        self._output = output
        self._span = span
        attached = [s for s in streams if is_cover(s) and output.format.name == "matroska"]
        for stream in attached:
            _attached_cover(source, output, stream)
        streams = [stream for stream in streams if stream not in attached]
        self._converters = {
            stream.index: _converted_stream(source, output, stream)
            for stream in streams
            if is_converted(stream)
        }
        self._targets = {
            stream.index: _copied_stream(output, stream)
            for stream in streams
            if stream.index not in self._converters
        }
        self._covers = [
            (self._targets[stream.index], _cover_content(source, stream))
            for stream in streams
            if is_cover(stream)
        ]
        self._sources = [s for s in streams if s.type != "attachment" and not is_cover(s)]
        for stream in container.streams:
            if stream not in self._sources:
                stream.discard = Discard.all
        self._joins = joins_of(source.path, container, source.stream_index)
        self._order = {index: PacketOrder() for index in range(len(container.streams))}
        self._packets = self._in_range()
        self._next = next(self._packets, None)
        copy_metadata(source, container, output, span)

    def copy_until(self, seconds: Fraction | None, *, shift: Fraction) -> None:
        """Mux all packets up to a time on the source's clock (None: all), `shift` s earlier."""
        while self._covers:
            target, content = self._covers.pop()
            cover = Packet(content)
            cover.stream, cover.pts, cover.dts = target, 0, 0
            cover.is_keyframe = True
            self._output.mux_one(cover)
        while self._next is not None:
            packet = self._next
            if seconds is not None and _seconds(packet) > seconds:
                return
            index = packet.stream_index
            if index in self._converters:
                self._mux(index, self._converters[index].packets(packet), shift)
            else:
                packet.stream = self._targets[index]
                self._mux(index, [packet], shift)
            self._next = next(self._packets, None)
        if seconds is None:
            for index, converter in self._converters.items():
                self._mux(index, converter.packets(None), shift)
            self._report()

    def _mux(self, index: int, packets: Iterable[Packet], shift: Fraction) -> None:
        order = self._order[index]
        for packet in packets:
            offset = round(shift / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts - offset
            packet.dts = None if packet.dts is None else packet.dts - offset
            if packet.stream.type == "subtitle" and packet.pts is not None and packet.pts < 0:
                packet.pts = packet.dts = 0  # shown since before the first frame
            order.move(packet)
            try:
                self._output.mux(packet)
            except (av.ArgumentError, av.InvalidDataError) as error:
                # One packet of sound or of subtitles is no reason to lose the film.
                order.refused += 1
                _log.debug("packet of stream %d at %s: %s", index, packet.pts, error)

    def _report(self) -> None:
        """Say in the log which streams are not copied to the last packet, at their own times."""
        path = self._source.path
        for index, order in self._order.items():
            if order.note:
                _log.warning("stream %d of %s: %s", index, path, order.note)
            if order.refused:
                _log.warning(
                    "stream %d of %s: %d packets are left out: the output does not take them",
                    *(index, path, order.refused),
                )

    def _in_range(self) -> Iterator[Packet]:
        if not self._sources:
            return
        begin = self._span.begin
        if begin is not None and not self._joins:
            has_subtitles = any(stream.type == "subtitle" for stream in self._sources)
            early = begin - _LONGEST_SUBTITLE_SECONDS if has_subtitles else begin
            self._container.seek(int(max(early, Fraction(0)) * av.time_base))
        for packet in JoinedPackets(self._joins).moved(self._demuxed()):
            if packet.size == 0 or (packet.pts is None and packet.dts is None):
                continue
            seconds = _seconds(packet)
            if begin is not None and _is_shown_at(begin, packet):
                _begin_at(begin, packet)
                yield packet
            elif seconds in self._span:
                yield packet
            elif self._span.end is not None and seconds > self._span.end + _REORDER_SECONDS:
                return

    def _demuxed(self) -> Iterator[Packet]:
        try:
            yield from demuxed(self._container, self._sources)
        except av.FFmpegError as error:
            _log.warning("the streams beside the video are cut off: %s", reason_of(error))


def tag_options(source: VideoInfo, path: Path) -> dict[str, str]:
    """The muxer's options with which MP4 and MOV keep tags that they have no names for.

    Then they hold no cover picture: of a film with both these tags are left out, as the log says.
    """
    named = {".mov": _MOV_TAGS, ".mp4": _MP4_TAGS, ".m4v": _MP4_TAGS}.get(path.suffix.lower())
    if named is None:
        return {}
    others = [key for key in source.metadata if key.lower() not in {*named, *_FILE_TAGS}]
    videos = [stream for stream in source.streams if stream.kind == "video"]
    if not others:
        return {}
    if len(videos) > 1:
        _log.warning(
            "%s: these tags are left out, as %s cannot hold them beside a cover picture: %s",
            source.path,
            path.suffix,
            ", ".join(map(printable, others)),
        )
        return {}
    return {"movflags": "use_metadata_tags"}


def copy_metadata(
    source: VideoInfo, container: InputContainer, output: OutputContainer, span: TimeRange
) -> None:
    """Give the output the source's tags and those chapters that lie in the range."""
    output.metadata.update(
        {key: value for key, value in source.metadata.items() if key.lower() not in _FILE_TAGS}
    )
    hidden = matroska_tables(source.path).hidden_chapters()
    chapters = [chapter for chapter in container.chapters() if _start(chapter) not in hidden]
    if kept := [part for chapter in chapters if (part := _part_in(span, chapter)) is not None]:
        output.set_chapters(kept)


def _start(chapter: Any) -> Fraction:
    return chapter["start"] * (chapter["time_base"] or Fraction(1, av.time_base))


def _part_in(span: TimeRange, chapter: Any) -> Any:
    """The part of a chapter that lies in a range, on the clock of the output; None: none of it."""
    time_base = chapter["time_base"] or Fraction(1, av.time_base)
    begin, end = _start(chapter), chapter["end"] * time_base
    if (span.begin is not None and end <= span.begin) or (
        span.end is not None and begin >= span.end
    ):
        return None
    shift = span.begin or Fraction(0)
    last = end if span.end is None else min(end, span.end)
    return {
        **chapter,
        "start": max(0, round((begin - shift) / time_base)),
        "end": round((last - shift) / time_base),
    }


def kept_tags(stream: Stream, output: OutputContainer) -> dict[str, str]:
    """The tags of a stream without those that describe how it was made, in the output's terms.

    The name of a track is `title` in Matroska. MP4 and MOV have two: `name`, which FFmpeg reads but
    writes only from `title`, and `handler_name`, which players show.
    """
    tags = {
        key: value
        for key, value in stream.metadata.items()
        if not key.lower().startswith(_STALE_TAGS)
    }
    handler = tags.get("handler_name", "")
    custom = handler if handler.strip() and handler not in _USUAL_HANDLERS else None
    name = tags.get("title") or tags.pop("name", None) or custom
    if output.format.name in ("matroska", "webm"):
        for key in _MP4_ONLY_TAGS:
            tags.pop(key, None)
    elif name and custom is None:
        tags["handler_name"] = name
    return {**tags, "title": name} if name else tags


def _cover_content(source: VideoInfo, stream: Stream) -> bytes:
    """The content of a cover picture, read by another reader so that nothing else is lost."""
    with open_video(source.path) as (container, _):
        return bytes(next(iter(container.demux(container.streams[stream.index]))))


def _attached_cover(source: VideoInfo, output: OutputContainer, stream: Stream) -> None:
    """Attach a cover picture as a file, as Matroska has them."""
    codec = stream.codec_context.codec.canonical_name
    ending = {"mjpeg": "jpg"}.get(codec, codec)
    mimetype = stream.metadata.get("mimetype", f"image/{'jpeg' if ending == 'jpg' else ending}")
    name = printable(stream.metadata.get("filename", f"cover.{ending}"))
    output.add_attachment(name, printable(mimetype), _cover_content(source, stream))


def _copied_stream(output: OutputContainer, template: Stream) -> Stream:
    stream = output.add_stream_from_template(template, opaque=True)
    stream.metadata.update(kept_tags(template, output))
    stream.disposition = template.disposition
    return stream


def _converted_stream(source: VideoInfo, output: OutputContainer, template: Stream) -> FlacTrack:
    _log.warning(
        "stream %d of %s (%s) can be copied into nothing: its sound is kept as FLAC, without loss",
        template.index,
        source.path,
        template.codec_context.codec.canonical_name,
    )
    track = FlacTrack(output, template)
    track.stream.metadata.update(kept_tags(template, output))
    track.stream.disposition = template.disposition
    return track


def _is_shown_at(seconds: Fraction, packet: Packet) -> bool:
    """True for a subtitle that begins before a time and ends after it."""
    begin = _seconds(packet)
    length = (packet.duration or 0) * packet.time_base
    return packet.stream.type == "subtitle" and begin < seconds < begin + length


def _begin_at(seconds: Fraction, packet: Packet) -> None:
    """Let a subtitle begin later, and end as before."""
    late = ceil((seconds - _seconds(packet)) / packet.time_base)
    packet.pts = packet.dts = round(_seconds(packet) / packet.time_base) + late
    packet.duration = (packet.duration or 0) - late


def _seconds(packet: Packet) -> Fraction:
    stamp = packet.pts if packet.pts is not None else packet.dts
    assert stamp is not None
    return stamp * packet.time_base
