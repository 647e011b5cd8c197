from fractions import Fraction

import av
import numpy as np
import pytest

from vsr.video.color import FULL, LIMITED, ColorTags, frame_from_rgb, rgb_from_frame
from vsr.video.pixels import as_uint8
from vsr.video.probe import probe
from vsr.video.reading.reader import VideoReader

# Weights of red and blue in luma: ITU-R BT.601 and BT.709.
WEIGHTS = {6: (0.299, 0.114), 5: (0.299, 0.114), 1: (0.2126, 0.0722)}


def rgb_by_formula(yuv: np.ndarray, matrix: int, color_range: int) -> np.ndarray:
    """R'G'B' of 8-bit Y'CbCr (`... 3`), straight from the definition in the standards."""
    red, blue = WEIGHTS[matrix]
    green = 1 - red - blue
    black, luma, chroma = (16, 219, 224) if color_range == LIMITED else (0, 255, 255)
    y = (yuv[..., 0] - black) / luma
    cb, cr = (yuv[..., 1] - 128) / chroma, (yuv[..., 2] - 128) / chroma
    r = y + 2 * (1 - red) * cr
    b = y + 2 * (1 - blue) * cb
    g = (y - red * r - blue * b) / green
    return (255 * np.stack([r, g, b], -1)).clip(0, 255)


def flat_patches() -> np.ndarray:
    """Y'CbCr of 24 patches of 16x16 pixels, so large that chroma upsampling does not matter."""
    rng = np.random.default_rng(0)
    colors = rng.integers((70, 105, 105), (190, 150, 150), (4, 6, 3))
    return colors.repeat(16, 0).repeat(16, 1)


def frame_of(yuv: np.ndarray) -> av.VideoFrame:
    planes = [yuv[..., 0], yuv[::2, ::2, 1], yuv[::2, ::2, 2]]
    flat = np.concatenate([plane.ravel() for plane in planes]).astype(np.uint8)
    height, width = yuv.shape[:2]
    return av.VideoFrame.from_ndarray(flat.reshape(height * 3 // 2, width), format="yuv420p")


def centers(pixels: np.ndarray) -> np.ndarray:
    return pixels[8::16, 8::16]


@pytest.mark.parametrize("matrix", [6, 5, 1])
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
def test_yuv_becomes_rgb_by_its_own_matrix_and_range(matrix, color_range):
    yuv = flat_patches()
    tags = ColorTags(matrix=matrix, range=color_range)
    got = rgb_from_frame(frame_of(yuv), tags)
    wanted = rgb_by_formula(yuv, matrix, color_range)
    # Rounding of 8-bit tables: one level, at most two.
    np.testing.assert_allclose(centers(got), centers(wanted), atol=2)


@pytest.mark.parametrize("matrix", [6, 1])
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
def test_rgb_becomes_yuv_by_the_tagged_matrix_and_range(matrix, color_range):
    yuv = flat_patches()
    tags = ColorTags(matrix=matrix, range=color_range)
    rgb = rgb_by_formula(yuv, matrix, color_range).round().astype(np.uint8)
    frame = frame_from_rgb(rgb, "yuv420p", tags)
    luma = np.asarray(frame.to_ndarray())[: yuv.shape[0]]
    np.testing.assert_allclose(centers(luma), centers(yuv[..., 0]), atol=2)
    assert frame.color_range == color_range


@pytest.mark.parametrize("matrix", [6, 1])
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
def test_neither_direction_tints(matrix, color_range):
    pixels = np.random.default_rng(2).integers(40, 216, (32, 32, 3)).repeat(8, 0).repeat(8, 1)
    pixels = pixels.astype(np.uint8)
    tags = ColorTags(matrix=matrix, range=color_range)
    back = rgb_from_frame(frame_from_rgb(pixels, "yuv444p", tags), tags)
    assert np.abs(back.astype(float) - pixels).max() <= 3
    # The mean of 1024 colours, each rounded to the nearest, is off by some hundredths.
    assert np.abs((back.astype(float) - pixels).mean((0, 1))).max() < 0.15


@pytest.mark.parametrize("pix_fmt", ["bgr0", "gbrp"])
def test_rgb_formats_give_the_pixels_back_exactly(pix_fmt):
    pixels = np.random.default_rng(1).integers(0, 256, (31, 45, 3), dtype=np.uint8)
    tags = ColorTags().resolved(31, pix_fmt)
    np.testing.assert_array_equal(
        rgb_from_frame(frame_from_rgb(pixels, pix_fmt, tags), tags), pixels
    )


@pytest.mark.parametrize(
    ("tags", "height", "matrix"),
    [
        (ColorTags(), 576, 6),
        (ColorTags(), 720, 1),
        (ColorTags(primaries=9), 480, 1),
        (ColorTags(matrix=1), 240, 1),
        (ColorTags(matrix=5), 1080, 5),
    ],
)
def test_an_unspecified_matrix_is_assumed_from_the_size(tags, height, matrix):
    assert tags.resolved(height, "yuv420p").matrix == matrix


def test_an_unspecified_range_is_full_for_jpeg_formats_only():
    assert ColorTags().resolved(480, "yuvj420p").range == FULL
    assert ColorTags().resolved(480, "yuv420p").range == LIMITED


@pytest.mark.parametrize("matrix", [6, 1])
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
def test_a_file_is_read_by_its_tags(make_video, matrix, color_range):
    gray = np.full((48, 64, 3), 0, np.uint8)
    gray[:, :32] = (200, 60, 60)
    path = make_video(pixels=[gray], color=(2, 2, matrix, color_range), options={"qp": "0"})
    with av.open(path) as container:
        stored = next(container.decode(video=0))
    y, u, v = (
        float(stored.to_ndarray().ravel()[at]) for at in (0, 48 * 64 + 1, 48 * 64 * 5 // 4 + 1)
    )
    wanted = rgb_by_formula(np.array([y, u, v]), matrix, color_range)
    assert probe(path).color == ColorTags(2, 2, matrix, color_range)
    with VideoReader(path) as reader:
        pixels = next(reader).pixels
    np.testing.assert_allclose(pixels[4, 4], wanted, atol=2)


def test_a_file_without_tags_says_unspecified_and_how_it_is_read(make_video):
    info = probe(make_video(time_base=Fraction(1, 25)))
    assert str(info.color) == (
        "primaries unspecified, transfer unspecified, matrix unspecified, range unspecified"
    )
    assert str(info.resolved_color).endswith("matrix smpte170m, range limited")


def planes_by_formula(rgb: np.ndarray, *, depth: int, full: bool) -> np.ndarray:
    """Codes of luma and chroma (BT.2020, non-constant luminance) as ITU-T H.273 has them."""
    red, green, blue = np.moveaxis(rgb.astype(float) / np.iinfo(rgb.dtype).max, -1, 0)
    luma = 0.2627 * red + 0.678 * green + 0.0593 * blue
    cb, cr = (blue - luma) / 1.8814, (red - luma) / 1.4746
    unit, middle = 2 ** (depth - 8), 2 ** (depth - 1)
    top = 2**depth - 1
    if full:
        return np.stack([top * luma, top * cb + middle, top * cr + middle])
    return np.stack([unit * (219 * luma + 16), unit * 224 * cb + middle, unit * 224 * cr + middle])


def planes_of(frame: av.VideoFrame) -> np.ndarray:
    rows = [np.frombuffer(plane, np.uint16).reshape(plane.height, -1) for plane in frame.planes]
    return np.stack([row[:, : frame.width] for row in rows])


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("depth", [10, 12])
def test_deep_rgb_becomes_the_nearest_codes_and_comes_back_to_less_than_one_of_them(depth, full):
    rgb = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    tags = ColorTags(9, 16, 9, 2 if full else 1)
    frame = frame_from_rgb(rgb, f"yuv444p{depth}le", tags)
    wanted = planes_by_formula(rgb, depth=depth, full=full)
    np.testing.assert_allclose(planes_of(frame), wanted.clip(0, 2**depth - 1), atol=0.501)
    back = rgb_from_frame(frame, tags)
    assert back.dtype == np.uint16
    # Half a code of luma and 0.94 (2 - 2 * 0.0593) of half a code of chroma, twice for rounding.
    code = 65535 / (219 * 2 ** (depth - 8))
    assert np.abs(back.astype(int) - rgb).max() < 1.5 * code


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p10le", "yuv444p12le", "gbrp10le"])
def test_a_gray_ramp_passes_a_deep_format_with_all_its_steps(pix_fmt):
    ramp = np.linspace(0, 65535, 900).round().astype(np.uint16)
    rgb = np.broadcast_to(ramp[:, None], (4, 900, 3)[1:]).copy()[None].repeat(4, 0)
    matrix = 0 if pix_fmt.startswith("gbr") else 1
    tags = ColorTags(matrix=matrix, range=2 if matrix == 0 else 1)
    back = rgb_from_frame(frame_from_rgb(rgb, pix_fmt, tags), tags)
    assert len(np.unique(back[..., 1])) > 850
    assert np.abs(back.astype(int) - rgb).max() < 65535 / 876


def test_lossless_sixteen_bits_are_exact():
    rgb = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    tags = ColorTags(matrix=0, range=2)
    back = rgb_from_frame(frame_from_rgb(rgb, "gbrp16le", tags), tags)
    np.testing.assert_array_equal(back, rgb)


@pytest.mark.parametrize(("pix_fmt", "dtype"), [("gray", np.uint8), ("gray10le", np.uint16)])
@pytest.mark.parametrize("color_range", [1, 2])
def test_gray_is_read_by_its_range(pix_fmt, dtype, color_range):
    bits = 8 if dtype == np.uint8 else 10
    black, white = (16 << bits - 8, 235 << bits - 8) if color_range == 1 else (0, 2**bits - 1)
    frame = av.VideoFrame.from_ndarray(np.array([[black, white]], dtype), format=pix_fmt)
    rgb = rgb_from_frame(frame, ColorTags(matrix=1, range=color_range))
    top = np.iinfo(dtype).max
    assert rgb.dtype == dtype
    assert rgb.tolist() == [[[0, 0, 0], [top, top, top]]]


def test_eight_bits_of_sixteen_are_the_nearest():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    np.testing.assert_array_equal(as_uint8(values), np.rint(values / 257).astype(np.uint8))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv422p"])
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
def test_black_bars_are_black_to_their_edges(pix_fmt, color_range):
    tags = ColorTags(matrix=6, range=color_range)
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[11:38, 7:50] = np.random.default_rng(0).integers(0, 256, (27, 43, 3))
    frame = frame_from_rgb(picture, pix_fmt, tags, siting="left")
    found = rgb_from_frame(frame, tags)
    assert found[:11].max() == found[38:].max() == found[:, :7].max() == found[:, 50:].max() == 0
    assert found[11:38, 7:50].max() > 0


def test_a_dark_picture_that_is_not_black_keeps_its_colours():
    tags = ColorTags(matrix=6, range=LIMITED)
    yuv = np.broadcast_to(np.array([17, 135, 125]), (32, 32, 3))
    assert rgb_from_frame(frame_of(yuv), tags)[..., 2].min() > 10


@pytest.mark.parametrize(
    ("levels", "told"), [((1, 254), True), ((16, 235), False), ((14, 237), False)]
)
def test_levels_beyond_white_and_black_are_told_once(tmp_path, caplog, levels, told):
    path = tmp_path / "source.mkv"
    luma = np.linspace(*levels, 64).round().astype(np.uint8)
    planes = [np.broadcast_to(luma, (48, 64)), np.full((24, 64), 128, np.uint8)]
    with av.open(path, "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.concatenate(planes), format="yuv420p")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with VideoReader(path) as reader:
        list(reader)
    assert caplog.text.count("has levels beyond white or black") == told
