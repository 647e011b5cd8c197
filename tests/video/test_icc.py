"""Colour profiles of PNG and JPEG are read, and kept where the output can hold them."""

import logging
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from vsr.video.icc import profile_of, with_profile
from vsr.video.images import encode_png
from vsr.video.pixels import as_uint8
from vsr.video.probe import probe
from vsr.video.reading.reader import VideoReader
from vsr.video.writing.encoders import EncoderSettings
from vsr.video.writing.output_file import write_video

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
PROFILE = bytes(16) + b"RGB " + bytes(range(200)) * 500
"""As large as those of scanners: a JPEG holds it in two segments."""


def jpeg(profile: bytes) -> bytes:
    content = cv2.imencode(".jpg", PIXELS)[1].tobytes()
    parts = [profile[i : i + 60000] for i in range(0, len(profile), 60000)]
    segments = b"".join(
        struct.pack(">BBH", 0xFF, 0xE2, len(part) + 16)
        + b"ICC_PROFILE\0"
        + bytes([number, len(parts)])
        + part
        for number, part in enumerate(parts, 1)
    )
    return content[:2] + segments + content[2:]


def png(profile: bytes) -> bytes:
    return with_profile(encode_png(PIXELS), profile)


@pytest.mark.parametrize("made", [png, jpeg])
def test_a_profile_is_read_whole(made):
    assert profile_of(made(PROFILE)) == PROFILE


def test_a_picture_with_a_profile_is_the_same_picture():
    found = cv2.imdecode(np.frombuffer(png(PROFILE), np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(found, PIXELS)


@pytest.mark.parametrize("made", [png, jpeg])
def test_a_profile_of_other_colours_is_none_of_rgb(made):
    assert profile_of(made(bytes(16) + b"CMYK" + bytes(200))) is None


def test_a_file_without_a_profile_or_cut_off_has_none():
    assert profile_of(encode_png(PIXELS)) is None
    assert profile_of(cv2.imencode(".jpg", PIXELS)[1].tobytes()) is None
    for content in (png(PROFILE), jpeg(PROFILE)):
        for length in (0, 1, 2, 5, 9, 30, 40, 60, 400):
            profile_of(content[:length])


def upscale(source, target: Path) -> None:
    with VideoReader(source) as reader:
        frames = [(as_uint8(frame.pixels), frame.pts) for frame in reader]
    size = (source.width, source.height)
    write_video(frames, target, source=source, size=size, settings=EncoderSettings())


@pytest.mark.parametrize("kind", ["folder", "png", "jpg"])
def test_a_profile_is_kept_in_a_folder_of_pictures_and_named_elsewhere(tmp_path, caplog, kind):
    content = jpeg(PROFILE) if kind == "jpg" else png(PROFILE)
    path = tmp_path / ("source" if kind == "folder" else f"source.{kind}")
    if kind == "folder":
        path.mkdir()
        (path / "1.png").write_bytes(content)
    else:
        path.write_bytes(content)
    source = probe(path)
    assert source.color_profile == PROFILE
    with caplog.at_level(logging.WARNING):
        upscale(source, tmp_path / "out")
    assert "(ICC)" not in caplog.text
    (picture,) = (tmp_path / "out").iterdir()
    assert picture.name == ("1.png" if kind == "folder" else "source.png")
    assert profile_of(picture.read_bytes()) == PROFILE
    upscale(source, tmp_path / "out.mkv")
    assert "its colour profile (ICC) is left out: .mkv gets none" in caplog.text
