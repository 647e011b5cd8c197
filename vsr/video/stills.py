"""Files of one picture each: those that FFmpeg reads, pages, animations, transparency, profiles."""

import logging
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame

from vsr.errors import InputError
from vsr.video.container import open_video, reason_of
from vsr.video.pixels import Pixels, as_depth, depth_of, has_alpha, is_float
from vsr.video.suffixes import FFMPEG_SUFFIXES, IMAGE_SUFFIXES

_log = logging.getLogger(__name__)

_HEAD = 1 << 16
_OPAQUE = 0.999
"""Formats of 10 and 12 bits end a little below white once they are scaled to 16 bits."""
_PNG = b"\x89PNG\r\n\x1a\n"
PNG_HEADER = len(_PNG) + 12 + 13
"""Bytes of a PNG file until the end of its header: that has 13, and a chunk 12 around its own."""
_COLOR_CHUNKS = (b"sRGB", b"gAMA", b"cHRM", b"cICP")


def is_still(path: Path) -> bool:
    """Return whether a file has the ending of a picture, and is no animation."""
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return False
    head = _head(path)
    is_moving = b"acTL" in head.partition(b"IDAT")[0] if head.startswith(_PNG) else False
    return not (is_moving or head[4:12] == b"ftypavis" or _is_animated_webp(head))


def check_readable(path: Path) -> None:
    """Raise InputError for an animated WebP, which FFmpeg does not decode."""
    if path.is_file() and _is_animated_webp(_head(path)):
        raise InputError(
            f"{path} is an animated WebP, which cannot be read: convert it to GIF or APNG first"
        )


def note_pages(path: Path) -> None:
    """Say in the log if a TIFF has more pages than the first, which is read."""
    if path.suffix.lower() in (".tif", ".tiff"):
        pages = cv2.imcount(str(path))
        if pages > 1:
            _log.warning("%s has %d pages: the first is read", path, pages)


def still_frame(path: Path) -> VideoFrame:
    """Return the picture as FFmpeg decodes it. Raises InputError if it does not."""
    reason = "it holds no picture"
    try:
        with open_video(path) as (container, stream):
            for frame in container.decode(stream):
                return frame
    except av.FFmpegError as error:
        reason = reason_of(error)
    raise InputError(f"{path} is not a picture that can be read, or it is damaged: {reason}")


def read_alpha(path: Path, dtype: type[np.uint8] | type[np.uint16]) -> Pixels | None:
    """Return the alpha channel `h w` of a picture; None if it is opaque everywhere.

    White, as a whole number of type `dtype`, is opaque.
    """
    if path.suffix.lower() in FFMPEG_SUFFIXES:
        alpha = _alpha_of_frame(still_frame(path))
    else:
        alpha = _alpha_of_content(path.read_bytes())
    if alpha is None or alpha.min() >= _OPAQUE * (255 if alpha.itemsize == 1 else 65535):
        return None
    return as_depth(alpha, dtype)


def with_color_chunks(png: bytes, original: Path) -> bytes:
    """Return a PNG file with the colour space of another PNG file, but for its ICC profile."""
    content = original.read_bytes()
    if not content.startswith(_PNG):
        return png
    chunks = [chunk for kind, chunk in _chunks(content) if kind in _COLOR_CHUNKS]
    return with_chunks(png, chunks)


def text_chunk(key: str, value: str) -> bytes:
    """Return a chunk of text of a PNG file."""
    body = b"tEXt" + key.encode() + b"\0" + value.encode()
    return (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def with_chunks(png: bytes, chunks: Sequence[bytes]) -> bytes:
    """Return a PNG file with more chunks after its header."""
    return png[:PNG_HEADER] + b"".join(chunks) + png[PNG_HEADER:]


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks before the pixels of a PNG file, with their kinds."""
    at = len(_PNG)
    while at + 12 <= len(png) and png[at + 4 : at + 8] != b"IDAT":
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        yield png[at + 4 : at + 8], png[at:end]
        at = end


def _alpha_of_content(content: bytes) -> Pixels | None:
    stored: Any = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.ndim != 3 or stored.shape[2] != 4 or stored.dtype.kind != "u":
        return None
    return np.ascontiguousarray(stored[..., 3])


def _alpha_of_frame(frame: VideoFrame) -> Pixels | None:
    if not has_alpha(frame.format.name):
        return None
    if is_float(frame.format.name):
        alpha = frame.reformat(format="gbrapf32le").to_ndarray()[..., 3]
        return np.rint(65535 * np.nan_to_num(alpha).clip(0, 1)).astype(np.uint16)
    deep = depth_of(frame.format.name) > 8
    alpha = frame.reformat(format="rgba64le" if deep else "rgba").to_ndarray()[..., 3]
    return np.asarray(alpha, np.uint16 if deep else np.uint8)


def _is_animated_webp(head: bytes) -> bool:
    return (
        head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) > 20 and bool(head[20] & 2)
    )


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""
