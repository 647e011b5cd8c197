"""The fate of each stream beside the video: copied, converted or left out."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import av
from av.container.input import InputContainer
from av.packet import Packet
from av.stream import Stream

from vsr.errors import OutputError
from vsr.video.container import codec_context, codec_name, is_cover, open_video
from vsr.video.formats import PLAYLISTS
from vsr.video.joins import joins_of
from vsr.video.matroska import matroska_tables
from vsr.video.probe import StreamInfo, VideoInfo
from vsr.video.suffixes import ending
from vsr.video.writing.lossless import LOSSLESS_CODECS
from vsr.video.writing.time_range import WHOLE, TimeRange
from vsr.video.writing.trial_join import FIRST_PACKETS, FORMATS, Trial, try_join

_log = logging.getLogger(__name__)

_BIT_RATE = re.compile(r"[0-9]{1,12}")
_COVER_CODECS = ("mjpeg", "png", "bmp")


@dataclass(frozen=True, slots=True)
class StreamFate:
    """The fate of one stream beside the video; `reason` says why it is left out, None if kept."""

    stream: StreamInfo
    reason: str | None
    bit_rate: int | None
    """Bits per second, where the file says it."""
    codec: str | None = None
    """The codec that its sound is converted to; None if it is copied."""

    @property
    def is_kept(self) -> bool:
        """True if the output has the stream."""
        return self.reason is None


@dataclass(frozen=True, slots=True)
class ChosenStream:
    """A stream of an open source, as StreamFate; `skip` has the packets that are not taken."""

    stream: Stream
    reason: str | None = None
    codec: str | None = None
    skip: frozenset[int] = frozenset()
    is_muxed: bool = False
    """True if the output gets the stream as packets."""


def stream_fates(source: VideoInfo, path: Path) -> tuple[StreamFate, ...]:
    """The fate of every stream beside the video in an output at `path`, from all its packets.

    Raises OutputError for an audio stream that the output cannot hold.
    """
    if source.is_image_folder:
        return ()
    with open_video(source.path, playlists=source.is_playlist) as (container, _):
        if path.suffix.lower() in FORMATS:
            check_audio(source, container, path)
        return tuple(
            StreamFate(source.streams[one.stream.index], one.reason, _rate(one.stream), one.codec)
            for one in _chosen(source, _others(source, container), path, most=None)
        )


def container_losses(source: VideoInfo, path: Path) -> tuple[str, ...]:
    """One sentence for each property of the source's file that the output at `path` lacks."""
    found = () if source.is_image_folder else matroska_tables(source.path).losses()
    profile = profile_loss(source, path)
    return found if profile is None else (*found, profile)


def profile_loss(source: VideoInfo, path: Path) -> str | None:
    """A sentence on a colour profile that the output at `path` lacks: folders of PNG keep it."""
    is_kept = not ending(path) or (source.is_picture and ending(path) == ".png")
    if source.color_profile is None or is_kept:
        return None
    return f"its colour profile (ICC) is left out: {ending(path)} gets none; --codec png keeps it"


def check_audio(source: VideoInfo, container: InputContainer, path: Path) -> None:
    """Raise OutputError for an audio stream that another file type holds, but not that of `path`.

    Sound that none holds is no reason to refuse a film: it is left out with a line.
    """
    for one in _chosen(source, _others(source, container), path, most=FIRST_PACKETS):
        stream, left_out = one.stream, one.stream.index in source.left_out
        if one.reason is None or left_out or not _must_be_kept(stream):
            continue
        holder = next((suffix for suffix in FORMATS if _is_kept(source, stream, suffix)), None)
        if holder is not None:
            raise OutputError(
                f"{path.suffix} cannot hold audio stream {stream.index} ({codec_name(stream)}) of "
                f"{source.path}; write to {holder}, which can"
            )


def streams_to_copy(
    source: VideoInfo, container: InputContainer, path: Path, *, span: TimeRange = WHOLE
) -> list[ChosenStream]:
    """The streams beside the video that the output at `path` gets as packets or attached files.

    Every stream is tried first, with all its packets, so that none of them can spoil the join. The
    log names those that are left out or converted.
    """
    copied: list[ChosenStream] = []
    for one in _chosen(source, _others(source, container), path, span=span, most=None):
        stream = one.stream
        if one.reason is not None:
            _log.warning(
                "stream %d of %s (%s, %s) is left out: %s",
                stream.index,
                source.path,
                "cover" if is_cover(stream) else stream.type,
                codec_name(stream),
                one.reason,
            )
        elif one.is_muxed or _is_attached(stream):
            copied.append(one)
        if one.reason is None and one.codec is not None:
            _log.warning(
                "stream %d of %s (%s) can be copied into %s: its sound is kept as %s, without loss",
                stream.index,
                source.path,
                codec_name(stream),
                "nothing" if is_converted(stream) else f"no {path.suffix}",
                one.codec.upper(),
            )
    return copied


def _chosen(
    source: VideoInfo,
    streams: Sequence[Stream],
    path: Path,
    *,
    span: TimeRange = WHOLE,
    most: int | None,
) -> list[ChosenStream]:
    """Choices for streams, tried with `most` packets of each (None: all).

    Sound that the muxer does not take as it is, is converted; what it takes in no way is left out.
    """
    chosen = {stream.index: _chosen_by_header(source, stream, path) for stream in streams}
    if path.suffix.lower() not in FORMATS:
        return list(chosen.values())
    muxed = {index: one.codec for index, one in chosen.items() if one.is_muxed}
    copies: dict[int, str | None] = {i: None for i, codec in muxed.items() if codec is None}
    conversions = {i: codec for i, codec in muxed.items() if codec is not None}
    for index, trial in try_join(source, path, copies, span=span, most=most).items():
        chosen[index] = replace(chosen[index], skip=trial.refused)
        if trial.failure is not None:
            chosen[index] = _refused(chosen[index], path, trial)
            if (codec := _lossless_codec(chosen[index].stream, path)) is not None:
                conversions[index] = codec
    for index, trial in try_join(source, path, conversions, span=span).items():
        one = ChosenStream(chosen[index].stream, codec=conversions[index], is_muxed=True)
        chosen[index] = one if trial.failure is None else _refused(one, path, trial)
    return list(chosen.values())


def _chosen_by_header(source: VideoInfo, stream: Stream, path: Path) -> ChosenStream:
    if stream.index in source.left_out:
        return ChosenStream(stream, reason="--without asks for it")
    if (reason := refusal(path, stream)) is not None:
        return ChosenStream(stream, reason)
    holds = _holds(path.suffix.lower(), stream)
    codec = _lossless_codec(stream, path) if not holds and is_converted(stream) else None
    return ChosenStream(
        stream, codec=codec, is_muxed=codec is not None or (holds and not _is_attached(stream))
    )


def _refused(one: ChosenStream, path: Path, trial: Trial) -> ChosenStream:
    reason = f"{path.suffix} does not take it: {trial.failure}"
    return ChosenStream(one.stream, reason)


def _is_kept(source: VideoInfo, stream: Stream, suffix: str) -> bool:
    [one] = _chosen(source, [stream], Path(f"any{suffix}"), most=FIRST_PACKETS)
    return one.reason is None


def _is_attached(stream: Stream) -> bool:
    return stream.type == "attachment" or is_cover(stream)


def _lossless_codec(stream: Stream, path: Path) -> str | None:
    """The codec to which a sound may be converted for a file type; None if it may not."""
    decodes = isinstance(codec_context(stream), av.AudioCodecContext)
    return LOSSLESS_CODECS.get(path.suffix.lower()) if decodes else None


def refusal(path: Path, stream: Stream) -> str | None:
    """The reason why the output at `path` does not get a stream; None if it does.

    Some streams change their form: chapter titles are written with the chapters, a time code
    becomes a tag, and sound that no file type can hold is converted.
    """
    suffix = path.suffix.lower()
    if _is_silent(stream):
        return "it is announced but has no packets"
    if suffix not in FORMATS:
        pictures = "an animation" if suffix else "a folder of pictures"
        return f"{pictures} holds no other streams"
    if _holds(suffix, stream) or _has_chapter_titles(stream) or _is_time_code(stream):
        return None
    if is_converted(stream) and suffix in LOSSLESS_CODECS:
        return None
    what = f"{stream.type} in {codec_name(stream)}"
    if is_cover(stream) or stream.type == "attachment":
        what = "cover pictures of this kind" if is_cover(stream) else "attachments"
    return f"{suffix} cannot hold {what}"


def is_converted(stream: Stream) -> bool:
    """True for sound that can be decoded but that no file type can hold as it is."""
    context = codec_context(stream)
    return (
        isinstance(context, av.AudioCodecContext)
        and context.sample_rate > 0
        and not any(_holds(suffix, stream) for suffix in FORMATS)
    )


def fullest_suffix(
    source: Path,
    suffixes: Sequence[str],
    *,
    without: Sequence[tuple[str, int | None]] = (),
    playlists: bool = False,
) -> str:
    """The file type that holds the most streams, sound first; the first one of equals.

    Those in `without`, as `without_streams` has them, do not count.
    """
    with open_video(source, playlists=playlists) as (container, video):
        kinds = [stream.type for stream in container.streams]
        ignored = {video.index, *_named(kinds, without, source)}
        others = [stream for stream in container.streams if stream.index not in ignored]

        def refused(suffix: str) -> tuple[int, int]:
            kinds = [s.type for s in others if refusal(Path(f"any{suffix}"), s) is not None]
            return kinds.count("audio"), len(kinds)

        return min(suffixes, key=refused)


def without_streams(source: VideoInfo, without: Sequence[tuple[str, int | None]]) -> VideoInfo:
    """The source with streams marked that the output is to be without: pairs of kind and number.

    `("audio", 2)` is the second sound, `("audio", None)` all of them. Raises OutputError if there
    is no such stream, or it is the one that is upscaled.
    """
    kinds = [stream.kind for stream in source.streams]
    left_out = _named(kinds, without, source.path)
    numbered = any(number is not None for _, number in without)
    if numbered and source.stream_index in left_out:
        raise OutputError(
            f"{source.path}: stream {source.stream_index} is the video that is upscaled; --without "
            "cannot leave it out"
        )
    return replace(source, left_out=left_out - {source.stream_index})


def _named(
    kinds: Sequence[str], without: Sequence[tuple[str, int | None]], path: Path
) -> frozenset[int]:
    """Indices of the streams that `without` names."""
    found = set[int]()
    for kind, number in without:
        alike = [index for index, other in enumerate(kinds) if other == kind]
        if number is None:
            found.update(alike)
        elif number <= len(alike):
            found.add(alike[number - 1])
        else:
            raise OutputError(
                f"{path} has no stream {kind}:{number} to leave out; --without counts from 1, and "
                f"it has {len(alike)} of this kind: vsr info lists them"
            )
    return frozenset(found)


def _must_be_kept(stream: Stream) -> bool:
    """True for sound that plays: a film is refused rather than written without it.

    Sound without a decoder plays nowhere, nor does a stream without packets.
    """
    context = codec_context(stream)
    known = isinstance(context, av.AudioCodecContext) and context.sample_rate > 0
    return known and not _is_silent(stream)


def _is_silent(stream: Stream) -> bool:
    """True for a stream of a joinable container without a packet in the whole file."""
    path = Path(stream.container.name)
    packets = joins_of(path, stream.container, stream.container.streams.video[0].index).packets
    return bool(packets) and stream.index not in packets


def _others(source: VideoInfo, container: InputContainer) -> list[Stream]:
    return [stream for stream in container.streams if stream.index != source.stream_index]


def _holds(suffix: str, stream: Stream) -> bool:
    """True if the file type holds the stream's packets, or its content as an attached file.

    A header alone proves nothing, because some formats then drop the packets: one is tried.
    """
    if stream.type == "attachment":
        return suffix == ".mkv"
    if is_cover(stream):
        return suffix == ".mkv" or (
            FORMATS[suffix] == "mp4" and codec_name(stream) in _COVER_CODECS
        )
    if _has_chapter_titles(stream) or _is_time_code(stream):
        return False
    trial = BytesIO()
    try:
        with av.open(trial, "w", format=FORMATS[suffix]) as output:
            target = output.add_stream_from_template(stream, opaque=True)
            output.start_encoding()
            if stream.type != "data":
                return True
            packet = _first_packet(stream)
            content = bytes(packet)
            packet.stream = target
            output.mux(packet)
        return content in _packets(trial)
    except (av.FFmpegError, ValueError, AttributeError):  # the last without a decoder
        return False


def _first_packet(stream: Stream) -> Packet:
    """The first packet of a stream, read by another reader so that nothing else is lost."""
    playlists = stream.container.format.name in PLAYLISTS
    with open_video(Path(stream.container.name), playlists=playlists) as (container, _):
        return next(iter(container.demux(container.streams[stream.index])))


def _packets(file: BytesIO) -> list[bytes]:
    file.seek(0)
    with av.open(file, "r") as container:
        return [bytes(packet) for packet in container.demux() if packet.size]


def _has_chapter_titles(stream: Stream) -> bool:
    return stream.type == "data" and stream.name == "bin_data" and bool(stream.container.chapters())


def _is_time_code(stream: Stream) -> bool:
    return stream.type == "data" and "timecode" in stream.metadata


def _rate(stream: Stream) -> int | None:
    context = codec_context(stream)
    tagged = stream.metadata.get("BPS", "")
    return (context and context.bit_rate) or (int(tagged) if _BIT_RATE.fullmatch(tagged) else None)
