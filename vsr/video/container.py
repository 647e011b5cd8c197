"""Opening a video file, its main stream, and its packets; InputError for unusable files."""

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
from av.codec.context import CodecContext
from av.container.input import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from vsr.errors import InputError
from vsr.video.formats import is_playlist, open_options

_log = logging.getLogger(__name__)

TAG_ERRORS = "surrogateescape"
"""Tags in an old code page keep their bytes: which one it is, files do not say."""
_HEADERLESS_FORMATS = ("mpegts", "mpeg")
_LONG_PROBING = {"probesize": str(64_000_000), "analyzeduration": str(120_000_000)}
"""Bytes and microseconds in which FFmpeg looks for streams that begin after the first picture.

Sound or subtitles of a DVD often begin a minute into the film, and no header announces them.
"""


_DEADLINE_SECONDS = 15.0
"""FFmpeg gives up a file that it opens or reads without a result for so long."""


@contextmanager
def open_video(
    path: Path, *, playlists: bool = False
) -> Generator[tuple[InputContainer, VideoStream], None, None]:
    """The open container and its main video stream (not a cover picture); InputError if none.

    Only local files are read, and only the file at `path` unless `playlists`.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist" if not path.exists() else f"{path} is no file")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes)")
    _check_playlist(path, allowed=playlists)
    try:
        # Absolute, because a relative name such as `take:2.mp4` would be read as a protocol.
        name = str(path.absolute())
        options = open_options(playlists=playlists)
        container = _open(name, options)
        if container.format.name in _HEADERLESS_FORMATS:
            container.close()
            container = _open(name, options | _LONG_PROBING)
    except av.ArgumentError as error:
        raise InputError(
            f"{path} is not a video that can be read: it is damaged, or in a format that vsr does "
            "not read; ffmpeg can convert it to .mkv"
        ) from error
    except (av.FFmpegError, OSError) as error:
        raise InputError(
            f"{path} is not a video that can be read, or it is damaged: {reason_of(error)}"
        ) from error
    with container:
        yield container, _main_stream(path, container)


def printable(tag: str) -> str:
    """A tag with a mark in place of bytes that are no UTF-8."""
    return tag.encode(errors=TAG_ERRORS).decode(errors="replace")


def _open(name: str, options: dict[str, str]) -> InputContainer:
    return av.open(name, options=options, metadata_errors=TAG_ERRORS, timeout=_DEADLINE_SECONDS)


def _check_playlist(path: Path, *, allowed: bool) -> None:
    """Raise InputError for a playlist that is not allowed, and for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {reason_of(error)}") from error
    if is_playlist(head) and not allowed:
        raise InputError(
            f"{path} is a playlist, which names other files to be read; --allow-playlists reads "
            "one that you trust"
        )


def reason_of(error: Exception) -> str:
    """The message of an FFmpeg or system error, without its number and function name."""
    if isinstance(error, av.ExitError):
        return f"no data came for {_DEADLINE_SECONDS:.0f} s"
    return getattr(error, "strerror", None) or str(error)


def _main_stream(path: Path, container: InputContainer) -> VideoStream:
    if container.format.name == "tty":
        raise InputError(f"{path} is a text file, not a video")
    streams = container.streams.video
    moving = [stream for stream in streams if not is_cover(stream)]
    if not moving:
        found = ", ".join(sorted({stream.type for stream in container.streams})) or "no stream"
        what = "only a cover picture" if streams else "no video stream"
        raise InputError(f"{path} holds {what} (found: {found}); a video is needed")
    if codec_context(moving[0]) is None:
        raise InputError(f"{path}: the codec of its video stream is unknown")
    return moving[0]


def codec_context(stream: Stream) -> CodecContext | None:
    """The stream's decoder, or None where FFmpeg knows none: PyAV's types leave that out."""
    return stream.codec_context


def is_cover(stream: Stream) -> bool:
    """True for a cover picture (an attached picture), not a moving video stream."""
    return stream.type == "video" and bool(stream.disposition & Disposition.attached_pic)


def codec_name(stream: Stream) -> str:
    """The codec's name; "unknown codec" if FFmpeg does not know it."""
    context = codec_context(stream)
    if context is not None:
        return context.codec.canonical_name
    # Streams of sound and pictures without a decoder have no attribute for the name.
    return getattr(stream, "name", None) or "unknown codec"


def demuxed(container: InputContainer, streams: Sequence[Stream]) -> Iterator[Packet]:
    """The packets of the streams in file order, then an empty one for each.

    The log names streams that begin so late that they were not known when the file was opened.
    """
    try:
        yield from container.demux(streams)
    except IndexError:  # PyAV flushes a stream that its list does not have
        _log.warning(
            "%s: a stream that begins late in the file was not found at its start: it is left out",
            container.name,
        )
