"""The fate of each stream beside the video: copied, converted or left out."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import av
from av.container.input import InputContainer
from av.packet import Packet
from av.stream import Stream

from vsr.errors import OutputError
from vsr.video.container import codec_context, codec_name, is_cover, open_video
from vsr.video.joins import joins_of
from vsr.video.matroska import matroska_tables
from vsr.video.probe import StreamInfo, VideoInfo
from vsr.video.suffixes import ending

_log = logging.getLogger(__name__)

FORMATS = {".mkv": "matroska", ".mp4": "mp4", ".mov": "mov", ".m4v": "mp4", ".webm": "webm"}
"""FFmpeg's muxer for each file type; its own choice for .m4v holds hardly any codec."""

_FLAC_SUFFIXES = (".mkv", ".mp4", ".mov", ".m4v")
_COVER_CODECS = ("mjpeg", "png", "bmp")


@dataclass(frozen=True, slots=True)
class StreamFate:
    """The fate of one stream beside the video; `reason` says why it is left out, None if kept."""

    stream: StreamInfo
    reason: str | None
    bit_rate: int | None
    """Bits per second, where the file says it."""

    @property
    def is_kept(self) -> bool:
        """True if the output has the stream."""
        return self.reason is None


def stream_fates(source: VideoInfo, path: Path) -> tuple[StreamFate, ...]:
    """The fate of every stream beside the video in an output at `path`.

    Raises OutputError for an audio stream that the output cannot hold.
    """
    if source.is_image_folder:
        return ()
    with open_video(source.path) as (container, _):
        if path.suffix.lower() in FORMATS:
            check_audio(source, container, path)
        return tuple(
            StreamFate(source.streams[stream.index], refusal(path, stream), _rate(stream))
            for stream in _others(source, container)
        )


def container_losses(source: VideoInfo, path: Path) -> tuple[str, ...]:
    """One sentence for each property of the source's file that the output at `path` lacks."""
    found = () if source.is_image_folder else matroska_tables(source.path).losses()
    profile = profile_loss(source, path)
    return found if profile is None else (*found, profile)


def profile_loss(source: VideoInfo, path: Path) -> str | None:
    """A sentence on a colour profile that the output at `path` lacks: folders of PNG keep it."""
    if source.color_profile is None or not ending(path):
        return None
    return f"its colour profile (ICC) is left out: {ending(path)} gets none; --codec png keeps it"


def check_audio(source: VideoInfo, container: InputContainer, path: Path) -> None:
    """Raise OutputError for an audio stream that the output at `path` cannot hold."""
    for stream in _others(source, container):
        if _must_be_kept(stream) and refusal(path, stream) is not None:
            holder = next((suffix for suffix in FORMATS if _holds(suffix, stream)), None)
            hint = (
                "nothing that can be written holds it: convert the sound first"
                if holder is None
                else f"write to {holder}, which can"
            )
            raise OutputError(
                f"{path.suffix} cannot hold audio stream {stream.index} ({codec_name(stream)}) of "
                f"{source.path}; {hint}"
            )


def streams_to_copy(source: VideoInfo, container: InputContainer, path: Path) -> list[Stream]:
    """The streams beside the video that the output at `path` gets as packets or attached files.

    Raises OutputError for an audio stream that the output cannot hold. The log names the other
    streams that are left out.
    """
    check_audio(source, container, path)
    copied: list[Stream] = []
    for stream in _others(source, container):
        reason = refusal(path, stream)
        if reason is not None:
            _log.warning(
                "stream %d of %s (%s, %s) is left out: %s",
                stream.index,
                source.path,
                "cover" if is_cover(stream) else stream.type,
                codec_name(stream),
                reason,
            )
        elif _holds(path.suffix.lower(), stream) or is_converted(stream):
            copied.append(stream)
    return copied


def refusal(path: Path, stream: Stream) -> str | None:
    """The reason why the output at `path` does not get a stream; None if it does.

    Some streams change their form: chapter titles are written with the chapters, a time code
    becomes a tag, and sound that no file type can hold becomes FLAC.
    """
    suffix = path.suffix.lower()
    if _is_silent(stream):
        return "it is announced but has no packets"
    if suffix not in FORMATS:
        pictures = "an animation" if suffix else "a folder of pictures"
        return f"{pictures} holds no other streams"
    if _holds(suffix, stream) or _has_chapter_titles(stream) or _is_time_code(stream):
        return None
    if is_converted(stream) and suffix in _FLAC_SUFFIXES:
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


def fullest_suffix(source: Path, suffixes: Sequence[str]) -> str:
    """The file type that holds the most streams, sound first; the first one of equals."""
    with open_video(source) as (container, video):
        others = [stream for stream in container.streams if stream.index != video.index]

        def refused(suffix: str) -> tuple[int, int]:
            kinds = [s.type for s in others if refusal(Path(f"any{suffix}"), s) is not None]
            return kinds.count("audio"), len(kinds)

        return min(suffixes, key=refused)


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
    with open_video(Path(stream.container.name)) as (container, _):
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
    return (context and context.bit_rate) or (int(tagged) if tagged.isdigit() else None)
