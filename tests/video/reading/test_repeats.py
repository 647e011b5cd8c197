"""Frames that repeat the one before share its pixels, and lengths of clips do not count them."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsr.video.reading.clips import clips
from vsr.video.reading.reader import Frame
from vsr.video.reading.repeats import repeats, sharing


def held_frames(holds: list[int]) -> list[Frame]:
    """Pictures of noise, each in so many frames of their own memory."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (20, 8, 3), np.uint8) for _ in holds]
    shown = [picture for picture, count in zip(pictures, holds, strict=True) for _ in range(count)]
    return [Frame(pixels.copy(), i, Fraction(1, 25)) for i, pixels in enumerate(shown)]


@pytest.mark.parametrize("place", [(0, 0, 0), (17, 3, 1)])
def test_a_frame_that_differs_in_one_value_is_no_repeat(place: tuple[int, int, int]) -> None:
    one, other = held_frames([2])
    assert repeats(sharing(other, one), one)
    other.pixels[place] ^= 1
    assert not repeats(sharing(other, one), one)


def test_a_frame_of_another_depth_or_size_is_no_repeat() -> None:
    frame = Frame(np.zeros((4, 4, 3), np.uint8), 0, Fraction(1))
    for other in (np.zeros((4, 4, 3), np.uint16), np.zeros((1, 4, 3), np.uint8)):
        assert not repeats(sharing(Frame(other, 1, Fraction(1)), frame), frame)


holds = st.lists(st.integers(1, 30), min_size=1, max_size=20)


@given(holds, st.integers(1, 6), st.integers(0, 5))
def test_lengths_count_pictures_and_bound_frames(held, longest, look_ahead) -> None:
    frames = held_frames(held)
    found = list(
        clips(frames, max_frames=longest, detector=None, look_ahead=look_ahead, share_repeats=True)
    )
    assert [frame.pts for clip in found for frame in clip.frames] == list(range(len(frames)))
    assert sum(len(clip.pictures) for clip in found) == len(held)
    for clip in found:
        assert len(clip.pictures) <= longest
        assert len(clip.frames) <= 4 * longest
        assert len(clip.coming) <= look_ahead
        for frame, number in zip(clip.frames, clip.shown, strict=True):
            if number >= 0:
                assert frame.pixels is clip.frames[clip.pictures[number]].pixels
    for before, clip in pairwise(found):
        assert clip.repeats_last == (clip.frames[0].pixels is before.frames[-1].pixels)
        assert before.is_repeated == clip.repeats_last
    assert not found[-1].is_repeated


@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 4))
def test_a_film_whose_frames_are_shown_often_has_the_clips_of_the_film(count, longest, times):
    once, often = (
        list(clips(held_frames([n] * count), max_frames=longest, detector=None, share_repeats=True))
        for n in (1, times)
    )
    assert [len(clip.pictures) for clip in often] == [len(clip.frames) for clip in once]
    assert [clip.first_frame_index for clip in often] == [
        times * clip.first_frame_index for clip in once
    ]


def test_no_frame_repeats_one_of_the_shot_before() -> None:
    frames = held_frames([2])
    marked = [(frames[0], True), (frames[1], True)]
    from vsr.video.reading.clips import gathered

    found = list(gathered(marked, max_frames=4, share_repeats=True))
    assert [(clip.pictures, clip.is_repeated) for clip in found] == [((0,), False)] * 2


def test_without_being_asked_no_frame_is_compared() -> None:
    (clip,) = clips(held_frames([3]), max_frames=4, detector=None)
    assert clip.pictures == clip.shown == (0, 1, 2)
