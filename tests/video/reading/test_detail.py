"""The effective resolution of frames that were enlarged, of sharp ones, of text and of grain."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vsr.video.reading.detail import reduction

SIDE = 384
Image = NDArray[np.uint8]


def scene(seed: int = 0) -> Image:
    """A sharp picture: fractal noise, as the spectra of photographs are, with hard edges."""
    rng = np.random.default_rng(seed)
    rows, columns = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None]
    radius = np.hypot(rows, columns).clip(1 / SIDE)
    spectrum = np.fft.rfft2(rng.normal(size=(SIDE, SIDE))) / radius**1.2
    plane = np.fft.irfft2(spectrum, s=(SIDE, SIDE))
    plane = 128 + 45 * plane / plane.std()
    for _ in range(12):
        left, top, size = rng.integers(20, SIDE - 80, 3)
        points = rng.integers(0, 60, (3, 2)) + np.array([left, top])
        cv2.fillPoly(plane, [points.astype(np.int32)], int(size) % 256)
    return np.repeat(plane.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def enlarged(image: Image, factor: float, how: int = cv2.INTER_CUBIC) -> Image:
    """The picture with the detail of one that is smaller by the factor."""
    small = cv2.resize(image, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, image.shape[1::-1], interpolation=how), np.uint8)


def grainy(image: Image, sigma: float) -> Image:
    grain = np.random.default_rng(5).normal(0, sigma, image.shape[:2])
    return (image + grain[..., None]).clip(0, 255).astype(np.uint8)


def with_text(image: Image) -> Image:
    image = image.copy()
    for row in (330, 350):
        words, font = "Where were you last night? - Here.", cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(image, words, (20, row), font, 0.5, (235, 235, 235), 1, cv2.LINE_AA)
    return image


def test_a_sharp_picture_is_not_reduced() -> None:
    assert reduction([scene()]) == 1


@pytest.mark.parametrize("how", [cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4])
def test_a_picture_that_was_enlarged_twofold_can_be_reduced_by_two(how: int) -> None:
    assert reduction([enlarged(scene(), 2, how)]) == 2


def test_a_picture_that_was_enlarged_fourfold_can_be_reduced_further() -> None:
    assert reduction([enlarged(scene(), 4)]) >= 3


def test_hard_edges_that_were_enlarged_are_no_detail() -> None:
    drawing = np.where(scene() > 128, 220, 30).astype(np.uint8)
    assert reduction([enlarged(drawing, 2)]) == 2
    assert reduction([drawing]) == 1


def test_grain_is_no_detail_and_does_not_hide_detail() -> None:
    assert reduction([grainy(enlarged(scene(), 2), 3)]) == 2
    assert reduction([grainy(scene(), 3)]) == 1


def test_text_over_a_soft_picture_keeps_it_whole() -> None:
    assert reduction([with_text(enlarged(scene(), 2))]) == 1


def test_a_page_of_text_is_not_reduced() -> None:
    page = np.full((SIDE, SIDE, 3), 245, np.uint8)
    for row in range(20, SIDE, 20):
        cv2.putText(page, "x = f(x) # why", (10, row), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (9, 9, 9), 1)
    assert reduction([page]) == 1


@pytest.mark.parametrize("size", [(48, 64), (63, 500)])
def test_frames_too_small_or_too_flat_to_tell_stay_as_they_are(size: tuple[int, int]) -> None:
    assert reduction([np.zeros((*size, 3), np.uint8)]) == 1
    assert reduction([np.full((256, 256, 3), 90, np.uint8)]) == 1


def test_deep_frames_are_judged_like_shallow_ones() -> None:
    assert reduction([enlarged(scene(), 2).astype(np.uint16) * 257]) == 2
