from fractions import Fraction

import pytest

from tests.video.writing.test_output_file import enlarge
from vsr.video.hdr import ContentLight, HdrMetadata, MasteringDisplay
from vsr.video.probe import probe
from vsr.video.writing.encoders import ENCODERS, EncoderSettings, losses, pixel_format

DISPLAY = MasteringDisplay(
    red=(Fraction(34000, 50000), Fraction(16000, 50000)),
    green=(Fraction(13250, 50000), Fraction(34500, 50000)),
    blue=(Fraction(7500, 50000), Fraction(3000, 50000)),
    white=(Fraction(15635, 50000), Fraction(16450, 50000)),
    min_luminance=Fraction(1, 100),
    max_luminance=Fraction(1000),
)
X265 = (
    "log-level=0:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
    "L(10000000,100):max-cll=1000,400"
)


@pytest.fixture
def hdr10(make_video):
    return make_video(
        codec="libx265",
        pix_fmt="yuv420p10le",
        options={"x265-params": X265, "preset": "ultrafast"},
        color=(9, 16, 9, 1),
        frames=3,
    )


def test_mastering_display_and_light_are_read(hdr10):
    info = probe(hdr10)
    assert info.hdr == HdrMetadata(DISPLAY, ContentLight(1000, 400))
    assert "HDR" in str(info)
    assert "mastered at 0.01 to 1000 cd/m2, MaxCLL 1000, MaxFALL 400" in str(info)


def test_a_plain_video_has_none(make_video):
    info = probe(make_video(frames=2))
    assert info.hdr == HdrMetadata()
    assert "HDR" not in str(info)


@pytest.mark.parametrize(
    ("codec", "name"),
    [("x264", "o.mp4"), ("x264", "o.mkv"), ("x265", "o.mp4"), ("x265", "o.mkv"), ("av1", "o.mkv")],
)
def test_hdr10_goes_along_with_its_tags_and_its_ten_bits(hdr10, tmp_path, codec, name):
    preset = "12" if codec == "av1" else "ultrafast"
    enlarge(hdr10, tmp_path / name, EncoderSettings(codec=codec, preset=preset))
    before, after = probe(hdr10), probe(tmp_path / name)
    assert after.color == before.color
    assert after.pix_fmt == "yuv420p10le"
    assert after.hdr.light == before.hdr.light
    assert after.hdr.display is not None
    assert after.hdr.display.max_luminance == 1000
    # AV1 counts in 1/65536 of a coordinate and 1/16384 cd/m2.
    got, wanted = after.hdr.display, DISPLAY
    points = zip(
        (*got.red, *got.green, *got.blue, *got.white, got.min_luminance),
        (*wanted.red, *wanted.green, *wanted.blue, *wanted.white, wanted.min_luminance),
        strict=True,
    )
    assert all(abs(a - b) <= Fraction(1, 16384) for a, b in points)


def test_what_an_encoder_cannot_hold_is_logged(hdr10, tmp_path, caplog):
    enlarge(hdr10, tmp_path / "o.mov", EncoderSettings(codec="prores"))
    assert "prores_ks holds no HDR10 metadata: it is left out (mastered at 0.01" in caplog.text


@pytest.mark.parametrize(
    ("codec", "source", "size", "wanted"),
    [
        ("x264", "yuv420p", (64, 48), "yuv420p"),
        ("x264", "yuvj422p", (64, 48), "yuv422p"),
        ("x264", "yuv444p", (64, 48), "yuv444p"),
        ("x264", "yuv420p", (67, 48), "yuv444p"),
        ("x264", "yuv422p", (64, 49), "yuv422p"),
        ("x264", "yuv411p", (64, 48), "yuv422p"),
        ("x264", "yuv410p", (64, 48), "yuv420p"),
        ("x264", "gray", (64, 48), "yuv420p"),
        ("x264", "pal8", (64, 48), "yuv420p"),
        ("x264", "p010le", (64, 48), "yuv420p10le"),
        ("x264", "yuv422p10le", (64, 48), "yuv422p10le"),
        ("x264", "yuv444p12le", (64, 48), "yuv444p10le"),
        ("x264", "gbrp16le", (64, 48), "yuv444p10le"),
        ("x265", "yuv422p12le", (64, 48), "yuv422p12le"),
        ("x265", "yuv420p16le", (64, 48), "yuv420p12le"),
        ("av1", "yuv444p10le", (64, 48), "yuv420p10le"),
        ("prores", "yuv420p", (64, 48), "yuv422p10le"),
        ("prores", "yuv444p12le", (64, 48), "yuv444p10le"),
        ("ffv1", "yuv420p", (64, 48), "bgr0"),
        ("ffv1", "yuv420p10le", (64, 48), "gbrp16le"),
    ],
)
def test_the_output_has_the_depth_and_the_chroma_of_the_source(codec, source, size, wanted):
    width, height = size
    found = pixel_format(ENCODERS[codec], EncoderSettings(), source, width=width, height=height)
    assert found == wanted


@pytest.mark.parametrize(
    ("codec", "source", "pix_fmt", "wanted"),
    [
        ("x264", "yuv420p10le", "yuv420p10le", []),
        ("x264", "rgb24", "yuv420p", []),
        ("x264", "yuv420p12le", "yuv420p10le", ["its 12 bits a colour are rounded to 10"]),
        (
            "av1",
            "yuv444p",
            "yuv420p",
            ["its colours (yuv444p) are kept at the lower resolution of yuv420p"],
        ),
    ],
)
def test_what_is_rounded_is_said(codec, source, pix_fmt, wanted):
    assert losses(ENCODERS[codec], source, pix_fmt, hdr=HdrMetadata()) == wanted
