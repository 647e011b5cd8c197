import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vsr.video.reading.reader import VideoReader
from vsr.video.side_data import has_color_profile, side_data_of


def chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png(*, profile: bytes | None) -> bytes:
    """A PNG of 8x8 gray pixels; a profile gets a name, as in most files."""
    named = b"sRGB\0\0" + zlib.compress(profile or b"")
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)),
            chunk(b"iCCP", named) if profile is not None else b"",
            chunk(b"IDAT", zlib.compress((b"\0" + b"\x60" * 24) * 8)),
            chunk(b"IEND", b""),
        ]
    )


def in_container(path: Path, content: bytes) -> Path:
    """Three frames of one PNG, as the packets of a video."""
    with av.open(path, "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 8, 8, "rgb24"
        for number in range(3):
            packet = av.Packet(content)
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            packet.is_keyframe = True
            container.mux(packet)
    return path


def in_file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "made"), [("a.png", in_file), ("a.avi", in_container), ("a.mov", in_container)]
)
def test_a_named_colour_profile_is_read_without_a_crash_and_named_in_the_log(
    name: str, made: Callable[[Path, bytes], Path], tmp_path: Path, caplog
):
    path = made(tmp_path / name, png(profile=bytes(600)))
    with VideoReader(path) as reader:
        frames = list(reader)
    assert all(np.all(frame.pixels == 0x60) for frame in frames)
    assert len(frames) == (1 if name == "a.png" else 3)
    assert caplog.text.count("a colour profile (ICC), which is left out") == 1


def test_a_profile_is_found_on_the_frames_that_have_one(tmp_path: Path):
    for profile in (None, bytes(600)):
        path = in_file(tmp_path / "a.png", png(profile=profile))
        with av.open(path) as container:
            frame = next(container.decode(video=0))
            assert has_color_profile(frame) == (profile is not None)
            assert side_data_of(frame) == {}
