from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsr.errors import ConfigError
from vsr.video.reading.clips import clips
from vsr.video.reading.reader import Frame
from vsr.video.reading.shots import ShotDetector


def flat_frames(*shots: int) -> list[Frame]:
    """Shots of the given lengths, each of another colour."""
    levels = [level for level, length in enumerate(shots) for _ in range(length)]
    colors = [(250, 10, 10), (10, 250, 10), (10, 10, 250), (240, 240, 240)]
    return [
        Frame(np.full((8, 8, 3), colors[level % 4], np.uint8), number, Fraction(1, 25))
        for number, level in enumerate(levels)
    ]


@given(st.lists(st.integers(3, 23), max_size=5), st.integers(1, 9))
def test_clips_cover_all_frames_in_order_and_never_span_a_cut(shots, max_frames):
    frames = flat_frames(*shots)
    found = list(clips(iter(frames), max_frames=max_frames, detector=ShotDetector()))
    assert [frame.pts for clip in found for frame in clip.frames] == list(range(len(frames)))
    assert all(1 <= len(clip.frames) <= max_frames for clip in found)
    assert [clip.first_frame_index for clip in found] == [clip.frames[0].pts for clip in found]
    for clip in found:
        assert len({tuple(frame.pixels[0, 0]) for frame in clip.frames}) == 1
        index = clip.first_frame_index
        is_new = index == 0 or (frames[index].pixels != frames[index - 1].pixels).any()
        assert clip.starts_shot == is_new


@given(st.integers(1, 100), st.integers(6, 20))
def test_no_clip_of_one_or_two_frames_is_left_over(count, max_frames):
    found = list(clips(flat_frames(count), max_frames=max_frames, detector=None))
    assert all(len(clip.frames) >= min(3, count) for clip in found)


@given(st.lists(st.integers(3, 23), max_size=5), st.integers(1, 9), st.integers(0, 12))
def test_what_lies_ahead_of_a_clip_is_the_next_frames_of_its_shot(shots, max_frames, look_ahead):
    frames = flat_frames(*shots)
    detector = ShotDetector()
    found = list(clips(frames, max_frames=max_frames, detector=detector, look_ahead=look_ahead))
    starts = [clip.first_frame_index for clip in found if clip.starts_shot] + [len(frames)]
    for clip in found:
        assert 1 <= len(clip.frames) <= max_frames
        end = clip.first_frame_index + len(clip.frames)
        shot_end = next(start for start in starts if start >= end)
        expected = range(end, min(end + look_ahead, shot_end))
        assert [frame.pts for frame in clip.ahead] == list(expected)


def test_clips_are_lazy():
    taken = []

    def counted():
        for frame in flat_frames(100):
            taken.append(frame)
            yield frame

    first = next(clips(counted(), max_frames=10, detector=ShotDetector()))
    assert len(first.frames) == 10
    assert len(taken) <= 10 + 3 + 2


def test_only_the_first_clip_of_a_shot_starts_it():
    found = list(clips(flat_frames(20, 20), max_frames=8, detector=ShotDetector()))
    starts = [clip.first_frame_index for clip in found if clip.starts_shot]
    assert starts == [0, 20]
    assert all(a.first_frame_index < b.first_frame_index for a, b in pairwise(found))


def test_a_clip_of_no_frames_is_refused():
    with pytest.raises(ConfigError, match="at least 1 frame"):
        next(clips(iter(()), max_frames=0, detector=None))
