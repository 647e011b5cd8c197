from pathlib import Path

import pytest

from vsr.errors import ConfigError
from vsr.video.writing.encoders import ANIMATIONS, CODECS, ENCODERS, EncoderSettings, check_codec


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
