"""The mark by which vsr knows the films that it has made: the name of the encoder."""

from contextlib import suppress
from pathlib import Path

from vsr import __version__
from vsr.errors import InputError
from vsr.video.container import open_video

MARK_TAG, _NAME = "encoder", "vsr "
_GIF_HEADER, _GIF_FLAGS, _GIF_HEAD = 13, 10, 1024
"""Bytes of the header, the place of its flags, and the bytes in which the mark lies."""
_GIF_MARK = b"!\xff\x0bvsr made1.0"
"""The head of an application extension of GIF: its identifier and code."""
MARK = f"{_NAME}{__version__}"
"""The tag of the video stream, which every container holds that vsr writes."""


def mark_gif(path: Path) -> None:
    """Write the mark into a GIF as an application extension, since FFmpeg writes no tags there."""
    content = path.read_bytes()
    flags, version = content[_GIF_FLAGS], __version__.encode()
    palette = 3 << ((flags & 7) + 1) if flags & 0x80 else 0
    at = _GIF_HEADER + palette
    block = _GIF_MARK + bytes([len(version)]) + version + b"\0"
    path.write_bytes(content[:at] + block + content[at:])


def is_made_by_vsr(path: Path) -> bool:
    """Return whether a video has the mark; False for a file that cannot be read."""
    if path.suffix.lower() == ".gif":
        with suppress(OSError), path.open("rb") as file:
            return _GIF_MARK in file.read(_GIF_HEAD)
        return False
    try:
        with open_video(path) as (_, stream):
            tags = {key.lower(): value for key, value in stream.metadata.items()}
    except InputError:
        return False
    return tags.get(MARK_TAG, "").startswith(_NAME)
