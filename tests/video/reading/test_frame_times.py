import logging
from fractions import Fraction
from pathlib import Path

import av
import pytest

from vsr.video.probe import probe
from vsr.video.reading.frame_times import FrameClock
from vsr.video.reading.reader import VideoReader


def picture(pts: int | None) -> av.VideoFrame:
    """A frame with a time, shown for 10 units."""
    frame = av.VideoFrame(16, 16, "gray")
    frame.pts, frame.duration = pts, 10
    return frame


@pytest.mark.parametrize(
    ("found", "given"),
    [
        ([0, 10, 10, 30, 40], [0, 10, 20, 30, 40]),
        ([0, 10, 5, 30, 40], [0, 10, 20, 30, 40]),
        ([0, 10, 10, 20, 30], [0, 10, 15, 20, 30]),
        ([0, 10, None, None, 40], [0, 10, 20, 30, 40]),
        ([0, 10, 10], [0, 10, 20]),
        ([None, None, None], [0, 10, 20]),
    ],
)
def test_only_the_frames_without_a_later_time_move(make_video, found: list, given: list[int]):
    clock = FrameClock(probe(make_video(time_base=Fraction(1, 250))))
    pictures = [picture(pts) for pts in found]
    assert [pts for _, pts in clock.timed(pictures)] == given


def test_frames_keep_their_distances_after_the_clock_has_jumped_back(make_video):
    clock = FrameClock(probe(make_video(time_base=Fraction(1, 250))))
    found = [1000, 1010, 1020, *range(0, 240, 12)]
    given = [pts for _, pts in clock.timed([picture(pts) for pts in found])]
    assert given == [1000, 1010, 1020, *range(1030, 1270, 12)]


def test_the_last_frame_is_at_its_own_time_in_spite_of_equal_times(make_video, caplog):
    times = [40 * n - (40 if n % 10 == 5 else 0) for n in range(50)]
    path = make_video(
        "dup.mkv", frames=50, pts=times, time_base=Fraction(1, 1000), codec="ffv1", options={}
    )
    with VideoReader(path) as reader:
        read = [frame.pts for frame in reader]
    assert read == [40 * n for n in range(50)]
    assert "5 frames had no time of their own" in caplog.text


def test_a_picture_that_starts_late_is_no_damage(make_video):
    path = make_video("late.mkv", pts=[512 * (n + 10) for n in range(12)])
    with VideoReader(path) as reader:
        assert len(list(reader)) == 12
        assert reader.damage is None
        assert abs(reader.info.duration - Fraction(12, 25)) <= Fraction(1, 1000)


def test_empty_packets_of_theora_are_no_damage(tmp_path: Path, caplog):
    source = Path(__file__).parents[2] / "fixtures" / "repeats.ogv"
    caplog.set_level(logging.WARNING)
    with VideoReader(source) as reader:
        frames = list(reader)
    assert [frame.seconds for frame in frames] == [0, Fraction(2, 15), Fraction(4, 15)]
    assert reader.damage is None
    assert not caplog.records
