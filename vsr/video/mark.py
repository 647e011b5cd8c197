"""The mark by which vsr knows the films that it has made: the name of the encoder."""

import shutil
from contextlib import suppress
from pathlib import Path

from vsr import __version__
from vsr.errors import InputError
from vsr.runtime.files import atomic_file
from vsr.video.container import open_video
from vsr.video.stills import PNG_HEADER, text_chunk

MARK_TAG, _NAME = "encoder", "vsr "
MARK = f"{_NAME}{__version__}"
"""The tag of the video stream, which every container holds that vsr writes."""

_GIF_HEADER, _GIF_FLAGS, _HEAD = 13, 10, 1024
"""Bytes of the header of a GIF, the place of its flags, and the bytes in which a mark lies."""
_GIF_MARK = b"!\xff\x0bvsr made1.0"
"""The head of an application extension of GIF: its identifier and code."""
_PNG_MARK = text_chunk("Software", _NAME)[4:-4]
_EXR_MARK, _EXR_WRITER = (b"writer\0string\0\4\0\0\0" + name for name in (b"vsr ", b"lavc"))
"""The attribute that names the program, with four letters, by vsr and by FFmpeg."""
_IN_HEADER = {".gif": _GIF_MARK, ".apng": _PNG_MARK, ".png": _PNG_MARK, ".exr": _EXR_MARK}
"""Marks in files that hold no tags that FFmpeg reads."""


def mark_animation(path: Path) -> None:
    """Write the mark into a GIF or an APNG, since FFmpeg writes no tags there."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if head.startswith(b"GIF8"):
            version = __version__.encode()
            palette = 3 << ((head[_GIF_FLAGS] & 7) + 1) if head[_GIF_FLAGS] & 0x80 else 0
            at = _GIF_HEADER + palette
            block = _GIF_MARK + bytes([len(version)]) + version + b"\0"
        else:
            at, block = PNG_HEADER, text_chunk("Software", MARK)
        file.seek(0)
        with atomic_file(path) as marked, marked.open("wb") as output:
            output.write(file.read(at) + block)
            shutil.copyfileobj(file, output)


def marked_exr(content: bytes) -> bytes:
    """Return an EXR file of FFmpeg with the mark."""
    return content.replace(_EXR_WRITER, _EXR_MARK, 1)


def is_made_by_vsr(path: Path) -> bool:
    """Return whether a film or picture has the mark; False for a file that cannot be read."""
    if (mark := _IN_HEADER.get(path.suffix.lower())) is not None:
        with suppress(OSError), path.open("rb") as file:
            return mark in file.read(_HEAD)
        return False
    try:
        with open_video(path) as (_, stream):
            tags = {key.lower(): value for key, value in stream.metadata.items()}
    except InputError:
        return False
    return tags.get(MARK_TAG, "").startswith(_NAME)
