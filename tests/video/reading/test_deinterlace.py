"""Fields are recognised by what the pictures show, and every frame is made whole at its time."""

import logging
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.video.conftest import pictures
from vsr.errors import InputError
from vsr.video.color import ColorTags, rgb_from_frame
from vsr.video.pixels import as_uint8
from vsr.video.reading.deinterlace import (
    Evidence,
    Fields,
    deinterlaced,
    fields_of,
    recognise_fields,
)
from vsr.video.reading.reader import VideoReader

HEIGHT, WIDTH = 64, 96
SPEED = 3
"""Pixels to the left from one field to the next."""


def moment(number: int) -> np.ndarray:
    """Smooth gray shapes as on a photograph, moved on by one field's time."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    x = x + SPEED * number
    waves = 110 + 50 * np.sin(x / 6) + 40 * np.sin(x / 11 + y / 9) + 20 * np.cos(y / 7)
    return waves.clip(0, 255).astype(np.uint8)[..., None].repeat(3, -1)


def woven(first: np.ndarray, second: np.ndarray, *, top_first: bool) -> np.ndarray:
    """A frame of two moments: the lines of the earlier field from `first`."""
    frame = first.copy()
    frame[int(top_first) :: 2] = second[int(top_first) :: 2]
    return frame


def interlaced(count: int, *, top_first: bool) -> list[np.ndarray]:
    return [woven(moment(2 * n), moment(2 * n + 1), top_first=top_first) for n in range(count)]


def telecined(count: int) -> Iterator[np.ndarray]:
    """3:2 pulldown of film frames A B C D: AA BB BC CD DD, top field first."""
    for n in range(count):
        film, place = 4 * (n // 5), n % 5
        first, second = ((0, 0), (1, 1), (1, 2), (2, 3), (3, 3))[place]
        yield woven(moment(2 * (film + first)), moment(2 * (film + second)), top_first=True)


def combs(frame: np.ndarray) -> float:
    """By how much more lines differ from their neighbours than from those two away."""
    luma = frame.astype(int)[..., 1]
    near = np.abs(luma[1:-3] + luma[3:-1] - 2 * luma[2:-2]).mean()
    return near / np.abs(luma[:-4] + luma[4:] - 2 * luma[2:-2]).mean()


FLAGS = {"flags": "+ildct+ilme", "qmax": "3"}
MPEG2 = {"codec": "mpeg2video", "time_base": Fraction(1, 25), "options": FLAGS}
TINY = {"height": HEIGHT, "width": WIDTH}


@pytest.mark.parametrize("top_first", [True, False])
@pytest.mark.parametrize("coding", [{"options": {"crf": "10"}}, {"name": "source.ts", **MPEG2}])
def test_interlaced_pictures_are_recognised_with_their_order_whatever_the_flags(
    make_video, coding, top_first
):
    path = make_video(pixels=interlaced(20, top_first=top_first), **TINY, **coding)
    assert fields_of(path) == Fields("interlaced", top_first)


def test_telecined_pictures_are_recognised(make_video):
    path = make_video(pixels=telecined(40), options={"crf": "10"}, **TINY)
    assert fields_of(path) == Fields("telecined", top_first=True)


@pytest.mark.parametrize("coding", [{}, {"name": "source.ts", **MPEG2}])
def test_progressive_pictures_are_left_alone_whatever_the_flags(make_video, coding):
    path = make_video(pixels=[moment(2 * n) for n in range(20)], **TINY, **coding)
    assert fields_of(path).kind == "progressive"
    with VideoReader(path) as plain, VideoReader(path, deinterlace="auto") as auto:
        for a, b in zip(plain, auto, strict=True):
            np.testing.assert_array_equal(a.pixels, b.pixels)


def test_noise_and_a_still_picture_are_progressive(make_video):
    noise = np.random.default_rng(0).integers(0, 256, (15, HEIGHT, WIDTH, 3), dtype=np.uint8)
    assert fields_of(make_video("n.mp4", pixels=list(noise), **TINY)).kind == "progressive"
    assert fields_of(make_video("s.mp4", pixels=[moment(0)] * 15, **TINY)).kind == "progressive"


@pytest.mark.parametrize(("flagged", "kind"), [(True, "interlaced"), (False, "progressive")])
def test_where_nothing_moves_the_flag_decides(flagged, kind):
    still = Evidence(
        Counter(undetermined=20), Counter(neither=20), (), flagged=flagged, bottom_first_flag=True
    )
    assert still.verdict() == Fields(kind, top_first=False)


@pytest.mark.parametrize("count", [1, 2, 20])
@pytest.mark.parametrize("top_first", [True, False])
def test_deinterlaced_frames_are_as_many_at_the_same_times_without_combs(
    make_video, caplog, count, top_first
):
    path = make_video(pixels=interlaced(count, top_first=top_first), options={"crf": "8"}, **TINY)
    mode = "auto" if count == 20 else "on"
    with caplog.at_level(logging.INFO), VideoReader(path, deinterlace=mode) as reader:
        frames = list(reader)
    assert [frame.pts for frame in frames] == [512 * n for n in range(count)]
    if count == 20:
        order = "top" if top_first else "bottom"
        assert f"is interlaced, {order} field first: it is deinterlaced" in caplog.text
        assert max(combs(frame.pixels) for frame in frames[2:-2]) < 0.8
        for number, frame in enumerate(frames[2:-2], 2):
            difference = frame.pixels[4:-4, 4:-4].astype(int) - moment(2 * number)[4:-4, 4:-4]
            assert np.abs(difference).mean() < 6, "the earlier field is the moment that is kept"


def test_of_telecined_frames_the_fields_of_one_film_frame_are_matched(make_video, caplog):
    path = make_video(pixels=telecined(40), options={"crf": "8"}, **TINY)
    with caplog.at_level(logging.INFO), VideoReader(path, deinterlace="auto") as reader:
        frames = list(reader)
    assert "is telecined, top field first: its fields are matched" in caplog.text
    assert [frame.pts for frame in frames] == [512 * n for n in range(40)]
    films = [moment(2 * n) for n in range(33)]
    for frame in frames[3:-3]:
        nearest = min(np.abs(frame.pixels.astype(int) - film).mean() for film in films)
        assert nearest < 5, "a whole frame of the film"


def test_off_gives_the_fields_as_they_are(make_video):
    path = make_video(pixels=interlaced(20, top_first=True), options={"crf": "8"}, **TINY)
    with VideoReader(path, deinterlace="off") as reader:
        assert all(combs(frame.pixels) > 1 for frame in reader)


def test_a_part_of_a_deinterlaced_video_is_the_same_as_in_the_whole(make_video):
    path = make_video(
        pixels=interlaced(30, top_first=True), options={"g": "5", "crf": "12"}, **TINY
    )
    with VideoReader(path, deinterlace="auto") as reader:
        whole = list(reader)
    with VideoReader(path, deinterlace="auto", start=Fraction(10, 25)) as reader:
        part = list(reader)
    assert [frame.pts for frame in part] == [frame.pts for frame in whole[10:]]
    for a, b in zip(part, whole[10:], strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)


def test_deep_frames_stay_deep(make_video):
    path = make_video(
        "s.mkv",
        pixels=interlaced(20, top_first=True),
        codec="ffv1",
        pix_fmt="yuv422p10le",
        options={},
        **TINY,
    )
    with VideoReader(path, deinterlace="auto") as reader:
        frame = list(reader)[10]
    assert frame.pixels.dtype == np.uint16
    assert combs(frame.pixels) < 0.8


def test_pictures_of_the_other_tests_are_progressive(make_video):
    assert fields_of(make_video(pixels=list(pictures(30)))).kind == "progressive"


@pytest.mark.parametrize(
    "pix_fmt", ["yuv411p", "uyvy422", "nv12", "p010le", "gray", "gray10le", "yuva420p", "gbrp"]
)
@pytest.mark.parametrize("kind", ["interlaced", "telecined"])
def test_every_pixel_format_comes_out_as_it_went_in(pix_fmt, kind):
    frames = []
    for number in range(6):
        frame = av.VideoFrame.from_ndarray(moment(number)).reformat(format=pix_fmt)
        frame.pts, frame.time_base = number, Fraction(1, 25)
        frames.append((frame, 3 * number))
    whole = list(deinterlaced(frames, Fields(kind)))
    assert [pts for _, pts in whole] == [0, 3, 6, 9, 12, 15]
    assert {frame.format.name for frame, _ in whole} == {pix_fmt}
    wanted = as_uint8(rgb_from_frame(frames[3][0], ColorTags().resolved(HEIGHT, pix_fmt)))
    found = as_uint8(rgb_from_frame(whole[3][0], ColorTags().resolved(HEIGHT, pix_fmt)))
    assert np.abs(wanted[4:-4].astype(int) - found[4:-4]).mean() < 3


def test_a_change_of_the_pixel_format_in_mid_stream_goes_through():
    frames = []
    for number in range(8):
        frame = av.VideoFrame.from_ndarray(moment(number))
        frame = frame.reformat(format="yuv420p" if number < 5 else "yuv422p")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        frames.append((frame, number))
    whole = list(deinterlaced(frames, Fields("interlaced")))
    assert [pts for _, pts in whole] == list(range(8))
    assert [frame.format.name for frame, _ in whole] == ["yuv420p"] * 5 + ["yuv422p"] * 3


def test_what_cannot_be_deinterlaced_is_an_input_error():
    frame = av.VideoFrame(64, 48, "bayer_rggb8")
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    with pytest.raises(InputError, match="frames in bayer_rggb8 cannot be deinterlaced"):
        list(deinterlaced([(frame, 0)], Fields("interlaced")))
    assert recognise_fields([frame], field_order=0).kind == "progressive"
