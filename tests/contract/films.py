"""Small awkward films, made by FFmpeg's command line and by hand."""

import shlex
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

Make = Callable[[Path], Path]
"""Makes a film in a folder and returns its path."""

RATE = 25
PICTURE = f"testsrc2=s=64x48:r={RATE}"
TONE = "sine=f=440:r=48000"
X264 = "-c:v libx264 -preset ultrafast -qp 20"
MPEG2 = "-c:v mpeg2video -q:v 4"
SRT = "1\n00:00:00,200 --> 00:00:00,600\nHello, {}\n\n2\n00:00:00,700 --> 00:00:01,100\nBye\n"
ASS = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Letters,20

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.20,0:00:00.80,Default,,0,0,0,,{\\i1}Hello{\\i0}
"""
CHAPTERS = """;FFMETADATA1
title=Two parts
[CHAPTER]
TIMEBASE=1/1000
START=0
END=400
title=One
[CHAPTER]
TIMEBASE=1/1000
START=400
END=1000
title=Two
"""


def ffmpeg(folder: Path, command: str) -> None:
    """Run FFmpeg in a folder with the words of `command`, which are quoted as for a shell."""
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-threads", "1"]
    words = [*program, *shlex.split(command)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    if "Unknown encoder" in done.stderr:
        pytest.skip(f"this FFmpeg cannot make it: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, f"{command}\n{done.stderr}"


def film(name: str, command: str, *, video: str = PICTURE, seconds: float = 1) -> Make:
    """A film of test pictures: `command` has what follows the first input, without the name."""

    def make(folder: Path) -> Path:
        ffmpeg(folder, f"-f lavfi -i '{video}:d={seconds}' {command} {name}")
        return folder / name

    return make


def with_tone(name: str, command: str, *, video: str = PICTURE, seconds: float = 1) -> Make:
    """A film with sound."""
    return film(name, f"-f lavfi -i {TONE}:d={seconds} {command}", video=video, seconds=seconds)


def with_files(files: dict[str, str | bytes], make: Make) -> Make:
    """A film of which files are a part that lie beside it."""

    def make_with_files(folder: Path) -> Path:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (folder / name).write_bytes(data)
        return make(folder)

    return make_with_files


def then(make: Make, change: Callable[[bytes], bytes]) -> Make:
    """A film whose bytes are changed afterwards."""

    def make_changed(folder: Path) -> Path:
        path = make(folder)
        path.write_bytes(change(path.read_bytes()))
        return path

    return make_changed


def zeroed(start: float, size: int) -> Callable[[bytes], bytes]:
    """Zeros in place of `size` bytes at a share of the file."""

    def change(content: bytes) -> bytes:
        at = int(len(content) * start)
        return content[:at] + bytes(size) + content[at + size :]

    return change


def cut_off(share: float) -> Callable[[bytes], bytes]:
    """The file without its end."""
    return lambda content: content[: int(len(content) * share)]


def remuxed(name: str, command: str, make: Make) -> Make:
    """A film whose packets FFmpeg copies into another file, by options before and after `-i`."""

    def make_remuxed(folder: Path) -> Path:
        source = make(folder)
        before, _, after = command.rpartition("|")
        ffmpeg(folder, f"{before} -i {source.name} {after} {name}")
        return folder / name

    return make_remuxed


def joined(name: str, *makes: Make) -> Make:
    """The bytes of films one after the other, as transport streams may be."""

    def make(folder: Path) -> Path:
        contents = [make(folder).read_bytes() for make in makes]
        (folder / name).write_bytes(b"".join(contents))
        return folder / name

    return make


def images(suffix: str, *, count: int = 5, dtype: type = np.uint8) -> Make:
    """A folder of numbered pictures."""

    def make(folder: Path) -> Path:
        path = folder / "pictures"
        path.mkdir()
        y, x, c = np.mgrid[:48, :64, :3]
        for number in range(count):
            waves = 0.5 + 0.2 * np.sin((x + number) / 9 + c) + 0.2 * np.cos(y / 11)
            pixels = (waves * np.iinfo(dtype).max).astype(dtype)
            cv2.imwrite(str(path / f"{number + 8}{suffix}"), pixels)
        return path

    return make


def photograph(suffix: str) -> Make:
    """One picture as a file."""

    def make(folder: Path) -> Path:
        return next(images(suffix, count=1)(folder).iterdir()).rename(folder / f"photo{suffix}")

    return make


def red_png() -> bytes:
    """A small picture as a file."""
    return cv2.imencode(".png", np.full((16, 16, 3), (0, 0, 255), np.uint8))[1].tobytes()


def pgs() -> bytes:
    """A Blu-ray subtitle of one 8x2 picture, from 0.2 s to 0.8 s, as a .sup file."""
    picture = b"\x01" * 8 + b"\x00\x00" + b"\x01" * 8 + b"\x00\x00"
    size, window = struct.pack(">HH", 64, 48), struct.pack(">BHHHH", 0, 4, 40, 8, 2)
    state = size + b"\x10" + struct.pack(">HBBBB", 0, 0x80, 0, 0, 1)
    shown = state + struct.pack(">HBBHH", 0, 0, 0, 4, 40)
    hidden = size + b"\x10" + struct.pack(">HBBBB", 1, 0, 0, 0, 0)
    palette = b"\x00\x00" + bytes([1, 235, 128, 128, 255])
    bitmap = struct.pack(">HBB", 0, 0, 0xC0) + (len(picture) + 4).to_bytes(3, "big")
    bitmap += struct.pack(">HH", 8, 2) + picture
    begin, end = ((0x16, shown), (0x17, b"\x01" + window), (0x14, palette), (0x15, bitmap)), ()
    sets = [(0.2, (*begin, (0x80, b""))), (0.8, (*end, (0x16, hidden), (0x80, b"")))]
    return b"".join(
        b"PG" + struct.pack(">IIBH", round(seconds * 90000), 0, kind, len(data)) + data
        for seconds, segments in sets
        for kind, data in segments
    )
