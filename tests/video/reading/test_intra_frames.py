"""I-frames among others are found by their types; a codec of I-frames alone has none."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.video.conftest import pictures
from vsr.config import Deinterlace
from vsr.video.reading.reader import VideoReader

GOPS = {"g": "6", "sc_threshold": "0", "bf": "2"}


def intra(path: Path, **options) -> list[int]:
    """The numbers of the frames that are said to be I-frames, of a video at 25 frames/s."""
    with VideoReader(path, **options) as reader:
        return [round(frame.seconds * 25) for frame in reader if frame.is_intra]


@pytest.mark.parametrize(
    "coding", [{}, {"codec": "mpeg2video", "time_base": Fraction(1, 25)}], ids=["h264", "mpeg2"]
)
def test_i_frames_among_others_are_found(make_video, coding: dict[str, object]) -> None:
    path = make_video("source.mkv", frames=20, options=GOPS, **coding)
    assert intra(path) == [6, 12, 18]


@pytest.mark.parametrize(
    ("codec", "pix_fmt"), [("ffv1", "yuv420p"), ("mjpeg", "yuvj420p"), ("prores_ks", "yuv422p10le")]
)
def test_a_codec_of_i_frames_alone_has_none(make_video, codec: str, pix_fmt: str) -> None:
    assert intra(make_video("source.mkv", codec=codec, pix_fmt=pix_fmt, options={"g": "1"})) == []


def test_pictures_have_none(tmp_path: Path) -> None:
    for number, picture in enumerate(pictures(3)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    assert intra(tmp_path) == []


@pytest.mark.parametrize("deinterlace", ["on", "auto"])
def test_deinterlaced_frames_keep_their_types(make_video, deinterlace: Deinterlace) -> None:
    shots = list(pictures(40))
    woven = [np.where(np.arange(48)[:, None, None] % 2, *shots[n : n + 2]) for n in range(0, 40, 2)]
    options = {**GOPS, "flags": "+ildct+ilme", "x264-params": "interlaced=1"}
    path = make_video("source.mkv", pixels=woven, options=options)
    assert intra(path, deinterlace=deinterlace) == intra(path) == [6, 12, 18]


def test_a_part_of_a_video_has_those_of_the_whole(make_video) -> None:
    path = make_video("source.mkv", frames=20, options=GOPS)
    assert intra(path, start=0.28, duration=0.4) == [12]
