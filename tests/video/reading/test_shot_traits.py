"""Traits of shots: from their first frames alone, and never against what later frames show."""

from collections.abc import Sequence
from fractions import Fraction

import cv2
import numpy as np
import pytest

from tests.video.reading.test_bars import barred, picture
from tests.video.reading.test_cleanness import clean
from tests.video.reading.test_detail import enlarged, scene
from vsr.video.reading.bars import NO_BARS, Bars
from vsr.video.reading.clips import clips
from vsr.video.reading.reader import Frame
from vsr.video.reading.shot_traits import ShotAnalysis, ShotTraits, TraitMarker

BARS = Bars(top=12, bottom=12)
BOTH = ShotAnalysis(bars=True, detail=True)


def shots_of(
    pictures: Sequence[np.ndarray], analysis: ShotAnalysis = BOTH, cuts: tuple[int, ...] = (0,)
):
    """First frame and traits of each shot."""
    marker = TraitMarker(analysis)
    marked = [
        one
        for i, pixels in enumerate(pictures)
        for one in marker.push(Frame(pixels, i, Fraction(1)), starts_shot=i in cuts)
    ] + marker.flush()
    assert [one.frame.pts for one in marked] == list(range(len(pictures)))
    return [(one.frame.pts, one.traits) for one in marked if one.starts_shot]


def test_each_shot_has_its_own_bars() -> None:
    pictures = [barred(picture(i), BARS) for i in range(12)] + [picture(i) for i in range(5)]
    assert shots_of(pictures, cuts=(0, 12)) == [(0, ShotTraits(BARS)), (12, ShotTraits(NO_BARS))]


def test_a_subtitle_in_a_bar_begins_a_shot_in_which_that_bar_is_picture() -> None:
    pictures = [barred(picture(i), BARS) for i in range(30)]
    for pixels in pictures[17:22]:
        pixels[62:66, 30:60] = 200
    found = shots_of(pictures)
    assert [first for first, _ in found] == [0, 17]
    assert found[1][1].bars.top == 12
    assert found[1][1].bars.bottom <= 6


def test_bars_are_found_once_a_fade_from_black_shows_them() -> None:
    pictures = [barred((picture(i) * (i / 40)).astype(np.uint8), BARS) for i in range(40)]
    found = shots_of(pictures)
    assert found[-1][1].bars == BARS
    assert len(found) == 2


def test_a_shot_that_stays_black_is_one_shot_without_bars() -> None:
    assert shots_of([np.zeros((72, 96, 3), np.uint8)] * 30) == [(0, ShotTraits())]


def test_soft_frames_can_be_reduced_until_sharp_ones_come() -> None:
    soft = [np.roll(enlarged(scene(), 2), 3 * i, axis=1) for i in range(16)]
    sharp = [np.roll(scene(), 3 * i, axis=1) for i in range(16)]
    found = shots_of(soft + sharp)
    assert [traits.reduction for _, traits in found] == [2, 1]
    assert 16 <= found[1][0] < 20


def test_a_still_picture_is_not_reduced() -> None:
    assert shots_of([enlarged(scene(), 2)] * 12) == [(0, ShotTraits())]


@pytest.mark.parametrize("analysis", [ShotAnalysis(), ShotAnalysis(detail=True)])
def test_nothing_is_found_that_is_not_looked_for(analysis: ShotAnalysis) -> None:
    pictures = [barred(picture(i), BARS) for i in range(12)]
    assert shots_of(pictures, analysis) == [(0, ShotTraits())]


@pytest.mark.parametrize("length", [1, 4, 16])
def test_the_length_of_clips_changes_no_trait(length: int) -> None:
    pictures = [barred(picture(i), BARS) for i in range(14)]
    frames = [Frame(pixels, i, Fraction(1)) for i, pixels in enumerate(pictures)]
    found = list(clips(frames, max_frames=length, detector=None, analysis=BOTH))
    assert {clip.traits for clip in found} == {ShotTraits(BARS)}
    assert [clip.starts_shot for clip in found] == [True] + [False] * (len(found) - 1)


def test_each_shot_is_clean_or_not() -> None:
    sharp = [np.roll(clean(), 3 * i, axis=1) for i in range(8)]
    soft = [np.asarray(cv2.GaussianBlur(frame, (0, 0), 1.2), np.uint8) for frame in sharp]
    found = shots_of(soft + sharp, ShotAnalysis(clean=True), cuts=(0, 8))
    assert [(first, traits.clean) for first, traits in found] == [(0, False), (8, True)]
