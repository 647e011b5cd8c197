"""Chroma is read from and written to its own place, whatever the siting, and the tag is kept."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from vsr.video.color import FULL, LIMITED, MATRIX_BT601, ColorTags, frame_from_rgb, rgb_from_frame
from vsr.video.pixels import chroma_of
from vsr.video.probe import probe
from vsr.video.reading.reader import VideoReader
from vsr.video.siting import TAGGED_SITINGS, sited, siting_of
from vsr.video.writing.encoders import EncoderSettings, output_siting
from vsr.video.writing.output_file import write_video

PLACES = {"left": (0, 0.5), "center": (0.5, 0.5), "topleft": (0, 0), "top": (0.5, 0)}
PLACES |= {"bottomleft": (0, 1), "bottom": (0.5, 1)}
"""Of the first chroma sample of 4:2:0, in luma columns and rows (H.273, figure 10)."""
TAGS = ColorTags(matrix=MATRIX_BT601, range=LIMITED)
HEIGHT, WIDTH = 48, 64


def ramp(siting: str, pix_fmt: str = "yuv420p") -> VideoFrame:
    """Luma 128, Cb rising by a level a column, and Cr by a level a row, sampled at the siting."""
    frame = VideoFrame(WIDTH, HEIGHT, pix_fmt)
    across, down = PLACES[siting]
    columns, rows = chroma_of(pix_fmt)
    x = 96 + columns * np.arange(WIDTH // columns) + across
    y = 104 + rows * np.arange(HEIGHT // rows) + (down if rows > 1 else 0)
    cb, cr = np.broadcast_arrays(x[None, :], y[:, None])
    values = (np.full((HEIGHT, WIDTH), 128), cb, cr)
    scale = 4 if "10" in pix_fmt else 1
    for plane, levels in zip(frame.planes, values, strict=True):
        codes = np.rint(scale * levels).astype(np.uint16 if scale == 4 else np.uint8)
        lines = np.zeros((plane.height, plane.line_size // codes.itemsize), codes.dtype)
        lines[:, : plane.width] = codes
        plane.update(lines.tobytes())
    frame.time_base, frame.pts = Fraction(1, 25), 0
    return frame


def chroma_shift(pixels: np.ndarray) -> tuple[float, float]:
    """By how many columns and rows the chroma of RGB pixels lies beside that of the ramps."""
    rgb = pixels[8:-8, 8:-8].astype(float) / np.iinfo(pixels.dtype).max * 255
    luma = rgb @ (0.299, 0.587, 0.114)
    cb = 128 + 224 / 255 * (rgb[..., 2] - luma) / 1.772
    cr = 128 + 224 / 255 * (rgb[..., 0] - luma) / 1.402
    y, x = np.mgrid[8 : HEIGHT - 8, 8 : WIDTH - 8]
    return float((cb - 96 - x).mean()), float((cr - 104 - y).mean())


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("siting", TAGGED_SITINGS)
def test_chroma_is_read_from_its_place(siting, pix_fmt):
    pixels = rgb_from_frame(sited(ramp(siting, pix_fmt), siting), TAGS)
    # A sample between two levels is rounded to one of them: half a level is half a column.
    tolerance = 0.05 if pix_fmt == "yuv420p10le" or siting in ("topleft", "bottomleft") else 0.55
    np.testing.assert_allclose(chroma_shift(pixels), 0, atol=tolerance)


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p10le"])
@pytest.mark.parametrize("siting", TAGGED_SITINGS)
def test_chroma_is_written_to_its_place(siting, pix_fmt):
    whole = rgb_from_frame(sited(ramp("topleft", "yuv444p10le"), None), TAGS)
    frame = frame_from_rgb(whole, pix_fmt, TAGS, siting=siting)
    wanted = ramp(siting, pix_fmt)
    for plane, reference in zip(frame.planes, wanted.planes, strict=True):
        found, right = (
            np.frombuffer(bytes(p), np.uint16).reshape(p.height, -1)[4:-4, 4 : p.width - 4]
            for p in (plane, reference)
        )
        assert abs((found.astype(float) - right).mean()) / 4 < 0.05


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "nv12", "p010le", "yuvj420p"])
@pytest.mark.parametrize("siting", TAGGED_SITINGS)
def test_the_siting_of_a_frame_is_known(siting, pix_fmt):
    assert siting_of(sited(VideoFrame(70, 50, pix_fmt), siting)) == siting
    assert siting_of(sited(VideoFrame(6, 4, pix_fmt), siting)) == siting


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv411p", "uyvy422", "p010le"])
def test_a_frame_of_one_pixel_has_a_siting_too(pix_fmt):
    assert siting_of(VideoFrame(1, 1, pix_fmt)) == "center"


@pytest.mark.parametrize("pix_fmt", ["yuv422p", "uyvy422", "yuv411p"])
@pytest.mark.parametrize("siting", ["left", "center"])
def test_chroma_halved_in_columns_alone_is_left_or_centred(siting, pix_fmt):
    assert siting_of(sited(VideoFrame(70, 50, pix_fmt), siting)) == siting


def ramp_file(path: Path, siting: str | None, *, codec: str, color_range: int = LIMITED) -> Path:
    options = {} if siting is None else {"chroma_sample_location": siting}
    if codec == "libx264":
        options |= {"qp": "0"}
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.color_range = color_range
        default = "center" if color_range == FULL else "left"
        frame = ramp(siting or default)
        frame.color_range = color_range
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("codec", "siting"),
    [
        *(("libx264", siting) for siting in (*TAGGED_SITINGS, None)),
        *(("ffv1", siting) for siting in ("left", "center", "topleft", "top", None)),
    ],
)
def test_the_tag_of_a_file_is_honoured_and_the_left_assumed_without(tmp_path, siting, codec):
    path = ramp_file(tmp_path / "source.mkv", siting, codec=codec)
    assert probe(path).siting == (siting or "left")
    with VideoReader(path) as reader:
        shift = chroma_shift(next(reader).pixels)
    np.testing.assert_allclose(shift, 0, atol=0.55)


def test_jpeg_levels_without_a_tag_are_centred(tmp_path):
    path = ramp_file(tmp_path / "source.mkv", None, codec="ffv1", color_range=FULL)
    assert probe(path).siting == "center"


@pytest.mark.parametrize("codec", ["x264", "x265"])
@pytest.mark.parametrize("siting", TAGGED_SITINGS)
def test_the_output_keeps_the_tag_and_the_place(tmp_path, siting, codec):
    source = probe(ramp_file(tmp_path / "source.mkv", siting, codec="libx264"))
    target = tmp_path / "target.mp4"
    with VideoReader(source) as reader:
        frames = [(frame.pixels, frame.pts) for frame in reader]
    settings = EncoderSettings(codec=codec, crf=0)
    write_video(frames, target, source=source, size=(WIDTH, HEIGHT), settings=settings)
    assert probe(target).siting == siting
    with VideoReader(source) as reader, VideoReader(target) as again:
        before, after = (chroma_shift(next(r).pixels) for r in (reader, again))
    np.testing.assert_allclose(after, before, atol=0.05)


def test_where_a_codec_has_no_tag_the_siting_is_that_which_players_assume():
    assert output_siting("bottom", "av1", "yuv420p") == "left"
    assert output_siting("topleft", "av1", "yuv420p") == "topleft"
    assert output_siting("center", "prores", "yuv422p10le") == "left"
    assert output_siting(None, "x264", "yuv420p") == "left"
    assert output_siting("center", "x264", "yuv420p") == "center"
    assert output_siting("center", "x264", "yuv444p") is None
