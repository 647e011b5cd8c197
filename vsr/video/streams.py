"""Every stream beside the video, copied packet by packet into the output, bit for bit."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container.input import InputContainer
from av.container.output import OutputContainer
from av.packet import Packet
from av.stream import Discard, Stream

from vsr.errors import OutputError
from vsr.video.probe import StreamInfo, VideoInfo, codec_context, open_video, reason_of

_log = logging.getLogger(__name__)

_STALE_TAGS = ("duration", "encoder", "bps", "number_of_", "_statistics")
_FILE_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder")
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


def source_range(source: VideoInfo, start: Fraction, duration: Fraction | None) -> TimeRange:
    """The range of `start` and `duration` (seconds from the first frame) on the source's clock."""
    first = source.start_pts * source.time_base
    return TimeRange(
        begin=first + start if start else None,
        end=None if duration is None else first + start + duration,
    )


def streams_to_copy(source: VideoInfo, container: InputContainer, path: Path) -> list[Stream]:
    """The streams beside the video that the output at `path` can hold.

    Raises OutputError for an audio stream that it cannot hold.
    """
    with av.open(f"any{path.suffix}", "w") as output:
        supported = output.supported_codecs
    others = [stream for stream in container.streams if stream.index != source.stream_index]
    kept = [stream for stream in others if _can_hold(path, supported, stream)]
    for stream in others:
        if stream.type == "audio" and stream not in kept:
            raise OutputError(
                f"{path.suffix} cannot hold audio stream {stream.index} ({_codec_name(stream)}) of "
                f"{source.path}; write to .mkv, which can"
            )
    return kept


@dataclass(frozen=True, slots=True)
class StreamFate:
    """What becomes of one stream beside the video; `reason`: why it is left out, None if kept."""

    stream: StreamInfo
    reason: str | None
    bit_rate: int | None
    """Bits per second, where the file says it."""

    @property
    def is_kept(self) -> bool:
        """Whether it is copied into the output."""
        return self.reason is None


def stream_fates(source: VideoInfo, path: Path) -> tuple[StreamFate, ...]:
    """What becomes of every stream beside the video in an output at `path`.

    Raises OutputError for an audio stream that it cannot hold.
    """
    if source.is_image_folder:
        return ()
    with open_video(source.path) as (container, _):
        kept = streams_to_copy(source, container, path) if path.suffix else []
        return tuple(
            StreamFate(source.streams[stream.index], _reason(path, stream, kept), _rate(stream))
            for stream in container.streams
            if stream.index != source.stream_index
        )


def log_left_out(source: VideoInfo, container: InputContainer, kept: list[Stream]) -> None:
    """A line in the log for every stream that is neither the video nor copied."""
    for stream in container.streams:
        if stream.index != source.stream_index and stream not in kept:
            _log.warning(
                "stream %d of %s (%s, %s) is left out: the output cannot hold it%s",
                stream.index,
                source.path,
                stream.type,
                _codec_name(stream),
                "; the chapters are kept" if stream.type == "data" and container.chapters() else "",
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
        self._container = container
        self._output = output
        self._span = span
        self._targets = {stream.index: _copied_stream(output, stream) for stream in streams}
        self._sources = [stream for stream in streams if stream.type != "attachment"]
        for stream in container.streams:
            if stream not in self._sources:
                stream.discard = Discard.all
        self._packets = self._in_range()
        self._next = next(self._packets, None)
        copy_metadata(source, container, output, span)

    def copy_until(self, seconds: Fraction | None, *, shift: Fraction) -> None:
        """Mux all packets up to a time on the source's clock (None: all), `shift` s earlier."""
        while self._next is not None:
            packet = self._next
            if seconds is not None and _seconds(packet) > seconds:
                return
            time_base = packet.time_base
            offset = round(shift / time_base)
            packet.pts = None if packet.pts is None else packet.pts - offset
            packet.dts = None if packet.dts is None else packet.dts - offset
            packet.stream = self._targets[packet.stream_index]
            self._output.mux(packet)
            self._next = next(self._packets, None)

    def _in_range(self) -> Iterator[Packet]:
        if not self._sources:
            return
        if self._span.begin is not None:
            self._container.seek(int(self._span.begin * av.time_base))
        for packet in self._demuxed():
            if packet.size == 0 or (packet.pts is None and packet.dts is None):
                continue
            seconds = _seconds(packet)
            if seconds in self._span:
                yield packet
            elif self._span.end is not None and seconds > self._span.end + _REORDER_SECONDS:
                return

    def _demuxed(self) -> Iterator[Packet]:
        try:
            yield from self._container.demux(self._sources)
        except av.FFmpegError as error:
            _log.warning("the streams beside the video are cut off: %s", reason_of(error))


def copy_metadata(
    source: VideoInfo, container: InputContainer, output: OutputContainer, span: TimeRange
) -> None:
    """Give the output the source's tags and those chapters that lie in the range."""
    output.metadata.update(
        {key: value for key, value in source.metadata.items() if key.lower() not in _FILE_TAGS}
    )
    shift = span.begin or Fraction(0)
    chapters = container.chapters()
    for chapter in list(chapters):
        time_base = chapter["time_base"] or Fraction(1, av.time_base)
        begin, end = chapter["start"] * time_base, chapter["end"] * time_base
        if (span.begin is not None and end <= span.begin) or (
            span.end is not None and begin >= span.end
        ):
            chapters.remove(chapter)
            continue
        last = end if span.end is None else min(end, span.end)
        chapter["start"] = max(0, round((begin - shift) / time_base))
        chapter["end"] = round((last - shift) / time_base)
    if chapters:
        output.set_chapters(chapters)


def kept_tags(stream: Stream) -> dict[str, str]:
    """The tags of a stream without those that describe how it was made."""
    return {
        key: value
        for key, value in stream.metadata.items()
        if not key.lower().startswith(_STALE_TAGS)
    }


def _can_hold(path: Path, supported: set[str], stream: Stream) -> bool:
    if stream.type == "attachment":
        return path.suffix.lower() == ".mkv"
    context = codec_context(stream)
    if stream.type not in ("audio", "subtitle") or context is None:
        return False
    return context.codec.name in supported


def _reason(path: Path, stream: Stream, kept: list[Stream]) -> str | None:
    if stream in kept:
        return None
    if not path.suffix:
        return "a folder of pictures holds no other streams"
    if stream.type == "video":
        return "a second video stream is not copied"
    return f"{path.suffix} cannot hold {stream.type} in {_codec_name(stream)}"


def _rate(stream: Stream) -> int | None:
    context = codec_context(stream)
    tagged = stream.metadata.get("BPS", "")
    return (context and context.bit_rate) or (int(tagged) if tagged.isdigit() else None)


def _codec_name(stream: Stream) -> str:
    context = codec_context(stream)
    return "unknown codec" if context is None else context.codec.canonical_name


def _copied_stream(output: OutputContainer, template: Stream) -> Stream:
    stream = output.add_stream_from_template(template)
    stream.metadata.update(kept_tags(template))
    stream.disposition = template.disposition
    return stream


def _seconds(packet: Packet) -> Fraction:
    stamp = packet.pts if packet.pts is not None else packet.dts
    assert stamp is not None
    return stamp * packet.time_base
