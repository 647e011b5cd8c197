from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from vsr.video.reading.reader import Frame
from vsr.video.reading.shots import ShotDetector


def texture(seed: int, height: int = 72, width: int = 240) -> np.ndarray:
    """A wide picture of coloured patches."""
    patches = np.random.default_rng(seed).integers(0, 256, (height // 12, width // 12, 3))
    return patches.repeat(12, 0).repeat(12, 1).astype(np.uint8)


def pan(seed: int, count: int, step: int = 2) -> Iterator[np.ndarray]:
    picture = texture(seed)
    for number in range(count):
        yield picture[:, number * step : number * step + 96]


def as_frames(*scenes) -> Iterator[Frame]:
    pictures = (picture for scene in scenes for picture in scene)
    for number, pixels in enumerate(pictures):
        yield Frame(pixels, number, Fraction(1, 25))


def cuts(frames) -> list[int]:
    marked = list(ShotDetector().mark_cuts(frames))
    assert [frame.pts for frame, _ in marked] == list(range(len(marked)))
    return [frame.pts for frame, is_cut in marked if is_cut]


@pytest.mark.parametrize("before", [1, 2, 3, 12])
@pytest.mark.parametrize("after", [1, 2, 3, 12])
def test_a_cut_is_found_wherever_it_is(before, after):
    assert cuts(as_frames(pan(0, before), pan(1, after))) == [0, before]


def test_a_pan_has_no_cut():
    assert cuts(as_frames(pan(0, 30, step=4))) == [0]


def test_a_still_has_no_cut():
    assert cuts(as_frames([texture(0)] * 10)) == [0]


def test_noise_of_hue_in_the_dark_is_no_cut():
    black, tinted = np.zeros((72, 96, 3), np.uint8), np.zeros((72, 96, 3), np.uint8)
    tinted[..., 2] = 2
    assert cuts(as_frames([black] * 8, [tinted] * 8)) == [0]


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_is_no_cut(length):
    flash = [np.full((72, 96, 3), 255, np.uint8)] * length
    scene = list(pan(0, 20, step=1))
    assert cuts(as_frames(scene[:10], flash, scene[10:])) == [0]


def test_every_cut_of_several_is_found():
    assert cuts(as_frames(pan(0, 9), pan(1, 7), pan(2, 8))) == [0, 9, 16]


def test_no_frames_have_no_cuts():
    assert cuts(iter(())) == []


def test_frames_come_out_at_most_two_behind():
    given = 0

    def counted() -> Iterator[Frame]:
        nonlocal given
        for frame in as_frames(pan(0, 20)):
            given += 1
            yield frame

    for frame, _ in ShotDetector().mark_cuts(counted()):
        assert given <= frame.pts + 3
