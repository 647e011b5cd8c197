"""Parts with fields are made whole, and progressive parts of the same video stay untouched."""

import logging
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.video.reading.test_deinterlace import (
    HEIGHT,
    MPEG2,
    TINY,
    combs,
    interlaced,
    moment,
    telecined,
    woven,
)
from vsr.video.reading.deinterlace import Fields, deinterlaced, recognise_fields
from vsr.video.reading.field_parts import FieldJudge, deinterlaced_by_part
from vsr.video.reading.reader import VideoReader

CODINGS = [{"options": {"crf": "6"}}, {"name": "source.ts", **MPEG2}]
"""Without any flag, and with the flag of fields on all pictures."""


def progressive(count: int, first: int = 0) -> list[np.ndarray]:
    return [moment(first + 2 * n) for n in range(count)]


def fields_of_video(count: int, first: int) -> list[np.ndarray]:
    moments = [first + 2 * n for n in range(count)]
    return [woven(moment(n), moment(n + 1), top_first=True) for n in moments]


def changed(path, **options) -> list[int]:
    """The numbers of the frames that differ from those that are not deinterlaced."""
    with VideoReader(path, **options) as plain, VideoReader(path, deinterlace="auto") as whole:
        pairs = enumerate(zip(plain, whole, strict=True))
        return [n for n, (a, b) in pairs if not np.array_equal(a.pixels, b.pixels)]


@pytest.mark.parametrize("coding", CODINGS)
def test_an_interlaced_part_is_deinterlaced_and_the_rest_untouched(make_video, caplog, coding):
    parts = [*progressive(40), *fields_of_video(40, 80), *progressive(40, 160)]
    path = make_video(pixels=parts, **TINY, **coding)
    with caplog.at_level(logging.INFO):
        found = changed(path)
    assert found[:40] == list(range(40, 80))
    assert len(found) <= 45, "at most some pictures that the codec smeared"
    lines = [line for line in caplog.messages if "mixes" in line]
    assert len(lines) == 1
    assert "from 1.600 s on it is interlaced, top field first" in lines[0]


@pytest.mark.parametrize("coding", CODINGS)
def test_a_progressive_part_after_an_interlaced_one_keeps_its_lines(make_video, caplog, coding):
    path = make_video(
        pixels=[*interlaced(50, top_first=True), *progressive(60, 100)], **TINY, **coding
    )
    with caplog.at_level(logging.INFO):
        found = changed(path)
    assert found[:50] == list(range(50))
    assert len(found) <= 55
    assert "on it is progressive" in caplog.text


@pytest.mark.parametrize("coding", CODINGS)
def test_a_film_part_beside_video_is_matched(make_video, coding):
    path = make_video(pixels=[*interlaced(50, top_first=True), *telecined(60)], **TINY, **coding)
    found = changed(path)
    assert found[:50] == list(range(50))
    film = [n for n in found if n >= 60]
    assert {n % 5 for n in film} <= {2, 3, 4}, "of five film pictures two are woven"
    with VideoReader(path, deinterlace="auto") as reader:
        assert max(combs(frame.pixels) for frame in list(reader)[60:-3]) < 1.5


def test_one_part_is_read_as_if_it_were_the_whole(make_video):
    path = make_video(
        pixels=[*progressive(40), *fields_of_video(40, 80)], options={"g": "5"}, **TINY
    )
    with VideoReader(path, deinterlace="auto") as reader:
        whole = list(reader)
    with VideoReader(path, deinterlace="auto", start=Fraction(30, 25)) as reader:
        part = list(reader)
    assert [frame.pts for frame in part] == [frame.pts for frame in whole[30:]]
    for a, b in zip(part, whole[30:], strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)


def frames_of(pictures: list[np.ndarray]) -> list[tuple[av.VideoFrame, int]]:
    found = []
    for number, pixels in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(pixels).reformat(format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        found.append((frame, 3 * number))
    return found


def luma(frame: av.VideoFrame) -> np.ndarray:
    return frame.to_ndarray()[:HEIGHT]


def test_a_video_of_one_kind_is_read_as_a_whole():
    frames = frames_of(interlaced(40, top_first=True))
    fields = Fields("interlaced")
    found = list(deinterlaced_by_part(frames, fields, lambda *_: pytest.fail("a change")))
    wanted = list(deinterlaced(frames, fields))
    assert [pts for _, pts in found] == [pts for _, pts in wanted]
    for (a, _), (b, _) in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(luma(a), luma(b))


def test_a_still_part_is_of_the_usual_kind():
    pictures = [*interlaced(40, top_first=True), *[moment(80)] * 40, *fields_of_video(40, 80)]
    changes = []
    list(
        deinterlaced_by_part(
            frames_of(pictures), Fields("interlaced"), lambda fields, pts: changes.append(pts)
        )
    )
    assert changes == []


def test_the_order_of_fields_may_change():
    pictures = [*interlaced(40, top_first=True), *interlaced(80, top_first=False)[40:]]
    found = list(deinterlaced_by_part(frames_of(pictures), Fields("interlaced"), print))
    assert [pts for _, pts in found] == [3 * n for n in range(80)]
    for number in (*range(10, 30), *range(47, 70)):
        difference = luma(found[number][0]).astype(int) - luma(
            frames_of([moment(2 * number)])[0][0]
        )
        assert np.abs(difference[4:-4, 4:-4]).mean() < 6, "the earlier field is the moment kept"


def test_a_change_of_form_and_a_format_without_fields_go_through():
    frames = frames_of(interlaced(20, top_first=True))
    frames += [(frame.reformat(format="yuv422p"), pts + 60) for frame, pts in frames]
    frames += [(frame.reformat(format="rgb24"), pts + 120) for frame, pts in frames[:5]]
    found = list(deinterlaced_by_part(frames, Fields("interlaced"), lambda *_: None))
    assert [pts for _, pts in found] == [pts for _, pts in frames]
    assert [frame.format.name for frame, _ in found] == [frame.format.name for frame, _ in frames]


def test_pictures_higher_than_any_interlaced_system_are_not_held_back():
    frame = av.VideoFrame(64, 2160, "yuv420p")
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    judge = FieldJudge(Fields("progressive"))
    assert [fields.kind for _, _, fields in judge.push(frame, 0)] == ["progressive"]
    assert recognise_fields([frame], field_order=0).kind == "progressive"
