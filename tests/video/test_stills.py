"""Pictures of film scans and of the web are read with all their bits."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext

from vsr.errors import InputError
from vsr.video.color import linear_from_srgb, srgb_from_linear
from vsr.video.images import read_image
from vsr.video.probe import probe
from vsr.video.reading.reader import VideoReader
from vsr.video.stills import is_still, read_alpha

_LUMA = (np.arange(64)[None] * 1020 + np.arange(48)[:, None] * 16).astype(np.uint16)
GRADIENT = np.dstack([_LUMA, _LUMA // 2, _LUMA // 3])
"""From black to nearly the brightest red, in steps which 8 bits do not hold."""


def picture(path: Path, codec: str, pix_fmt: str, pixels: np.ndarray = GRADIENT) -> Path:
    """A picture of 16-bit RGB in a file of FFmpeg's encoder."""
    context = CodecContext.create(codec, "w")
    assert isinstance(context, VideoCodecContext)
    frame = av.VideoFrame.from_ndarray(pixels, "rgb48le").reformat(format=pix_fmt)
    context.width, context.height, context.pix_fmt = 64, 48, pix_fmt
    context.time_base, frame.pts = Fraction(1, 25), 0
    packets = [*context.encode(frame), *context.encode(None)]
    path.write_bytes(b"".join(bytes(packet) for packet in packets))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "bits"),
    [
        ("a.dpx", "dpx", "rgb24", 8),
        ("a.dpx", "dpx", "gbrp10le", 10),
        ("a.dpx", "dpx", "gbrp12le", 12),
        ("a.dpx", "dpx", "rgb48be", 16),
        ("a.tga", "targa", "bgr24", 8),
        ("a.ppm", "ppm", "rgb24", 8),
        ("a.ppm", "ppm", "rgb48be", 16),
        ("a.jp2", "jpeg2000", "rgb24", 8),
        ("a.jp2", "jpeg2000", "rgb48le", 16),
        ("a.tiff", "tiff", "rgb48le", 16),
        ("a.png", "png", "rgb48be", 16),
    ],
)
def test_pictures_are_read_with_all_their_bits(
    tmp_path: Path, name: str, codec: str, pix_fmt: str, bits: int
) -> None:
    path = picture(tmp_path / name, codec, pix_fmt)
    pixels = read_image(path)
    assert pixels.dtype == (np.uint8 if bits == 8 else np.uint16)
    white = 255 if bits == 8 else 65535
    error = 65535 * np.abs(pixels / white - GRADIENT / 65535).max()
    # FFmpeg reduces the bits before it encodes, by up to 1.5 steps; JPEG 2000 is lossy.
    steps = 16 if codec == "jpeg2000" else 1.5
    assert error <= steps * 65535 / (2**bits - 1)
    with VideoReader(path) as reader:
        (frame,) = reader
    assert np.array_equal(frame.pixels, pixels)


@pytest.mark.parametrize("suffix", [".exr", ".pfm", ".tiff"])
def test_pictures_of_floats_are_linear_light(tmp_path: Path, suffix: str) -> None:
    light = linear_from_srgb(GRADIENT)
    path = tmp_path / f"a{suffix}"
    if suffix == ".exr":
        context = CodecContext.create("exr", "w")
        assert isinstance(context, VideoCodecContext)
        frame = av.VideoFrame.from_ndarray(light, "gbrpf32le")
        context.width, context.height, context.pix_fmt = 64, 48, "gbrpf32le"
        context.options, context.time_base = {"format": "float"}, Fraction(1, 25)
        frame.pts = 0
        packets = [*context.encode(frame), *context.encode(None)]
        path.write_bytes(b"".join(bytes(packet) for packet in packets))
    else:
        cv2.imwrite(str(path), light[..., ::-1])
    assert np.abs(read_image(path).astype(int) - GRADIENT).max() <= 2


def test_srgb_is_the_standards_curve() -> None:
    """IEC 61966-2-1: 18 % grey is 0.4614 in sRGB, and 0.001 is on the straight part."""
    codes = srgb_from_linear(np.array([0.18, 0.001, 2.0, -1.0, np.nan], np.float32))
    assert codes.tolist() == [round(65535 * x) for x in (0.461356, 0.01292, 1, 0, 0)]
    assert np.array_equal(srgb_from_linear(linear_from_srgb(GRADIENT)), GRADIENT)


def test_avif_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    if not cv2.imwrite(str(path), (GRADIENT // 257).astype(np.uint8)[..., ::-1]):
        pytest.skip("this OpenCV writes no AVIF")
    assert np.abs(read_image(path).astype(int) - GRADIENT // 257).max() < 8
    assert is_still(path)


def test_an_animated_webp_is_refused_in_true_words(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    flags = bytes([2, 0, 0, 0])
    path.write_bytes(b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0" + flags + bytes(20))
    assert not is_still(path)
    with pytest.raises(InputError, match="animated WebP, which cannot be read: convert it to GIF"):
        probe(path)


def test_a_tiff_with_pages_says_that_the_first_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pages = [np.full((16, 16, 3), level, np.uint8) for level in (10, 200, 90)]
    cv2.imwritemulti(str(tmp_path / "a.tiff"), pages)
    with VideoReader(tmp_path / "a.tiff") as reader:
        (frame,) = reader
    assert frame.pixels.max() == 10
    assert "has 3 pages: the first is read" in caplog.text


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".tga"])
def test_transparency_is_told_from_an_alpha_channel(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    pixels = np.full((16, 16, 4), 255, np.uint8)
    pixels[:8, :, 3] = 40
    for shown, expected in ((pixels, 40), (np.full_like(pixels, 255), None)):
        if suffix == ".tga":
            context = CodecContext.create("targa", "w")
            assert isinstance(context, VideoCodecContext)
            frame = av.VideoFrame.from_ndarray(shown, "bgra")
            context.width, context.height, context.pix_fmt = 16, 16, "bgra"
            context.time_base, frame.pts = Fraction(1, 25), 0
            packets = [*context.encode(frame), *context.encode(None)]
            path.write_bytes(b"".join(bytes(packet) for packet in packets))
        else:
            cv2.imwrite(str(path), shown)
        alpha = read_alpha(path, np.uint8)
        assert (None if alpha is None else alpha[0, 0]) == expected
