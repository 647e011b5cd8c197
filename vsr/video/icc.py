"""ICC colour profiles in the content of PNG and JPEG files."""

import struct
import zlib
from collections.abc import Iterator

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_JPEG_PROFILE = b"ICC_PROFILE\0"
_APP2, _START_OF_SCAN = 0xE2, 0xDA
_LARGEST = 1 << 24
"""Bytes; no profile is larger."""
_COLOR_SPACE = slice(16, 20)
"""Of a profile's header (ICC.1, 7.2): the colours that the profile describes."""


def profile_of(content: bytes) -> bytes | None:
    """The profile of RGB in a PNG or JPEG file; None if there is none, or one of other colours."""
    if content.startswith(_PNG):
        profile = _png_profile(content)
    elif content.startswith(_JPEG):
        profile = _jpeg_profile(content)
    else:
        return None
    return profile if profile[_COLOR_SPACE] == b"RGB " else None


def with_profile(png: bytes, profile: bytes) -> bytes:
    """The PNG file with a profile."""
    data = b"icc\0\0" + zlib.compress(profile)
    kind_and_data = b"iCCP" + data
    chunk = struct.pack(">I", len(data)) + kind_and_data
    chunk += struct.pack(">I", zlib.crc32(kind_and_data))
    end = len(_PNG) + 8 + 13 + 4  # of the header chunk, which comes first
    return png[:end] + chunk + png[end:]


def _png_profile(content: bytes) -> bytes:
    place = len(_PNG)
    while place + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        if kind == b"iCCP":
            _, _, packed = content[place + 8 : place + 8 + length].partition(b"\0")
            try:
                return zlib.decompressobj().decompress(packed[1:], _LARGEST)
            except zlib.error:
                return b""
        if kind == b"IDAT":
            break
        place += 12 + length
    return b""


def _jpeg_profile(content: bytes) -> bytes:
    """The parts of a profile in their order: one segment holds 64 kB at most."""
    parts: dict[int, bytes] = {}
    for marker, data in _segments(content):
        if marker == _APP2 and data.startswith(_JPEG_PROFILE) and len(data) > 14:
            parts[data[12]] = data[14:]
    return b"".join(parts[number] for number in sorted(parts))


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    place = len(_JPEG)
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker, length = struct.unpack(">xBH", content[place : place + 4])
        if marker == _START_OF_SCAN:
            return
        yield marker, content[place + 4 : place + 2 + length]
        place += 2 + length
