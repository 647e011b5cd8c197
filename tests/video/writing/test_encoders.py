from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.codec.context import CodecContext

from vsr.errors import ConfigError, OutputError
from vsr.runtime.scheduling import ordinary_threads
from vsr.video.writing.encoders import (
    ANIMATIONS,
    CODECS,
    ENCODERS,
    EncoderSettings,
    check_codec,
    with_fitting_codec,
)


@pytest.mark.parametrize(
    ("name", "lossless", "codec"),
    [
        ("out.mp4", False, "x264"),
        ("out.mkv", False, "x264"),
        ("out.webm", False, "av1"),
        ("out.mkv", True, "ffv1"),
        ("out", False, "png"),
        ("out", True, "png"),
        ("out.gif", False, "gif"),
        ("out.apng", False, "apng"),
        ("out.PNG", False, "apng"),
    ],
)
def test_the_name_of_the_output_suggests_the_codec(name, lossless, codec):
    assert check_codec(Path(name), EncoderSettings(lossless=lossless)) == codec


@pytest.mark.parametrize("codec", CODECS)
def test_a_codec_that_is_asked_for_is_taken(codec):
    suffixes = ENCODERS[codec].suffixes if codec in ENCODERS else ANIMATIONS.get(codec, ("",))
    suffix = suffixes[0]
    assert check_codec(Path(f"out{suffix}"), EncoderSettings(codec=codec)) == codec


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"codec": "h264"}, "unknown codec 'h264'; allowed: x264, x265"),
        ({"codec": "x264", "lossless": True}, "lossless output is FFV1"),
        ({"pix_fmt": "yuv420p", "lossless": True}, "lossless output is RGB"),
    ],
)
def test_contradictions_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        EncoderSettings(**settings)


@pytest.mark.parametrize("size", [(16386, 64), (64, 20000)])
def test_an_output_too_large_for_x264_gets_a_codec_that_holds_it(size, caplog):
    settings = with_fitting_codec(EncoderSettings(crf=20), Path("out.mp4"), size)
    assert (settings.codec, settings.crf) == ("x265", 20)
    assert "x264 holds at most 16384x16384 pixels, so x265 is taken" in caplog.text


def test_an_output_that_fits_keeps_its_codec():
    settings = EncoderSettings()
    assert with_fitting_codec(settings, Path("out.mp4"), (16384, 16384)) is settings
    assert with_fitting_codec(settings, Path("out"), (20000, 20000)) is settings
    assert with_fitting_codec(settings, Path("out.gif"), (20000, 20000)) is settings


@pytest.mark.parametrize(
    ("name", "codec", "hint"),
    [("out.mkv", "x264", "give --codec x265"), ("out.webm", None, r"write to \.mkv")],
)
def test_a_codec_that_was_asked_for_and_is_too_small_is_refused_before_work(name, codec, hint):
    with pytest.raises(OutputError, match=f"holds at most .*{hint}"):
        with_fitting_codec(EncoderSettings(codec=codec), Path(name), (20000, 64))


@pytest.mark.parametrize("codec", ["x264", "av1"])
def test_the_limit_of_a_codec_is_that_of_its_library(codec):
    encoder = ENCODERS[codec]
    for side in (0, 1):
        for spare, opens in ((0, True), (2, False)):
            size = [64, 64]
            size[side] = encoder.largest[side] + spare
            assert opened(encoder.name, *size) == opens


def opened(name: str, width: int, height: int) -> bool:
    context = CodecContext.create(name, "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base = Fraction(1, 25)
    context.options = {"preset": "12" if "av1" in name else "ultrafast"}
    try:
        with ordinary_threads():
            context.open()
    except av.FFmpegError:
        return False
    return True
