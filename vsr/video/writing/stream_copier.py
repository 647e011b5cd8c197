"""Every stream beside the video, copied packet by packet into the output, bit for bit."""

import logging
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container.input import InputContainer
from av.container.output import OutputContainer
from av.packet import Packet
from av.stream import Discard, Stream

from vsr.video.container import is_cover, open_video, printable, reason_of
from vsr.video.matroska import matroska_tables
from vsr.video.probe import VideoInfo
from vsr.video.writing.stream_fates import ChosenStream
from vsr.video.writing.time_range import TimeRange, packet_seconds, packets_in_range
from vsr.video.writing.tracks import Track

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


class StreamCopier:
    """Brings the packets of the other streams into the output, in step with the video."""

    def __init__(
        self,
        source: VideoInfo,
        container: InputContainer,
        output: OutputContainer,
        *,
        streams: Sequence[ChosenStream],
        span: TimeRange,
    ) -> None:
        self._source = source
        self._output = output
        matroska = output.format.name == "matroska"
        for chosen in streams:
            if matroska and is_cover(chosen.stream):
                _attached_cover(source, output, chosen.stream)
        streams = [one for one in streams if not (matroska and is_cover(one.stream))]
        self._tracks = {one.stream.index: _track(source, output, one) for one in streams}
        self._covers = [
            (self._tracks[one.stream.index].stream, _cover_content(source, one.stream))
            for one in streams
            if is_cover(one.stream)
        ]
        sources = [
            one.stream
            for one in streams
            if one.stream.type != "attachment" and not is_cover(one.stream)
        ]
        for stream in container.streams:
            if stream not in sources:
                stream.discard = Discard.all
        self._packets = self._readable(packets_in_range(source, container, sources, span))
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
            if seconds is not None and packet_seconds(packet) > seconds:
                return
            self._tracks[packet.stream_index].write(packet, shift=shift)
            self._next = next(self._packets, None)
        if seconds is None:
            for track in self._tracks.values():
                track.finish(shift=shift)
            self._report()

    @property
    def is_surprised(self) -> bool:
        """True if the muxer refused a packet that it took in the trial: maybe a picture before."""
        return any(track.is_surprised for track in self._tracks.values())

    def _report(self) -> None:
        """Say in the log which streams are not copied to the last packet, at their own times."""
        path = self._source.path
        for index, track in self._tracks.items():
            if track.order.note:
                _log.warning("stream %d of %s: %s", index, path, track.order.note)
            if track.refused:
                _log.warning(
                    "stream %d of %s: %d packets are left out: the output does not take them",
                    *(index, path, len(track.refused)),
                )

    def _readable(self, packets: Iterator[Packet]) -> Iterator[Packet]:
        try:
            yield from packets
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
    with open_video(source.path, playlists=source.is_playlist) as (container, _):
        return bytes(next(iter(container.demux(container.streams[stream.index]))))


def _attached_cover(source: VideoInfo, output: OutputContainer, stream: Stream) -> None:
    """Attach a cover picture as a file, as Matroska has them."""
    codec = stream.codec_context.codec.canonical_name
    ending = {"mjpeg": "jpg"}.get(codec, codec)
    mimetype = stream.metadata.get("mimetype", f"image/{'jpeg' if ending == 'jpg' else ending}")
    name = printable(stream.metadata.get("filename", f"cover.{ending}"))
    output.add_attachment(name, printable(mimetype), _cover_content(source, stream))


def _track(source: VideoInfo, output: OutputContainer, chosen: ChosenStream) -> Track:
    template = chosen.stream
    track = Track(output, source.path, template, codec=chosen.codec, skip=chosen.skip)
    track.stream.metadata.update(kept_tags(template, output))
    track.stream.disposition = template.disposition
    return track
