"""Holes are found without a mask, and what belongs to the scene is not taken for one."""

from collections.abc import Callable
from fractions import Fraction

import cv2
import numpy as np
import pytest

from tests.restoration.scenes import HEIGHT, WIDTH, pan, picture
from vsr.restoration.images import as_image, as_pixels
from vsr.restoration.plan import RepairPlan
from vsr.restoration.stage import Restorer
from vsr.video.reading.reader import Frame

BURNT = range(5, 9)
COUNT = 14


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return pan(COUNT, speed=3.0, seed=2).astype(np.float32)


def filled(clip: np.ndarray, **options) -> np.ndarray:
    white = np.zeros(1, np.uint8)
    frames = [Frame(as_pixels(i, white), n, Fraction(1, 25)) for n, i in enumerate(clip)]
    marked = ((frame, n == 0) for n, frame in enumerate(frames))
    found = [f.pixels for f, _ in Restorer(RepairPlan(holes=1.0), **options).frames(marked)]
    return np.stack([as_image(pixels) for pixels in found])


def disc(x: float, y: float, radius: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(mask, (round(x), round(y)), radius, 1, -1)
    return mask > 0


def burn(number: int) -> np.ndarray:
    """A burn in the middle, of another shape in each frame."""
    return disc(70 + number % 3, 46, 13 + number % 2) | disc(60, 40 + 2 * (number % 3), 9)


def corner(number: int) -> np.ndarray:
    rows, columns = np.indices((HEIGHT, WIDTH))
    return rows + columns < 40 + 2 * (number % 3)


def splice(number: int) -> np.ndarray:
    return np.arange(HEIGHT)[:, None].repeat(WIDTH, 1) > HEIGHT - 12 - number % 2


@pytest.mark.parametrize(
    ("hole", "tone"), [(burn, (1, 0.97, 0.85)), (corner, (0, 0, 0)), (splice, (1, 1, 1))]
)
def test_a_region_lost_for_some_frames_is_found_and_filled(
    clip: np.ndarray, hole: Callable[[int], np.ndarray], tone: tuple[float, float, float]
) -> None:
    worn = clip.copy()
    for number in BURNT:
        worn[number][hole(number)] = tone
    lost = np.stack(
        [hole(number) if number in BURNT else burn(0) & False for number in range(COUNT)]
    )
    found = filled(worn)
    before, after = (np.abs(x - clip)[lost].mean() for x in (worn, found))
    assert after < 0.3 * before
    assert (np.abs(found - worn)[lost].max(-1) > 2 / 255).mean() > 0.9
    near = np.stack([cv2.dilate(m.astype(np.uint8), np.ones((15, 15))) for m in lost]) > 0
    assert (np.abs(found - worn)[~near] > 2 / 255).mean() < 0.0005


def ball(clip: np.ndarray, number: int) -> None:
    clip[number][disc(10 + 11 * number, 50 - 2 * number, 7)] = 0.97


def walker(clip: np.ndarray, number: int) -> None:
    clip[number][20:, max(0, 9 * number - 50) : max(0, 9 * number - 20)] = 0.02


def flash(clip: np.ndarray, number: int) -> None:
    if number in (6, 7):
        clip[number] = np.clip(clip[number] * 2.2, 0, 1)


def lamp(clip: np.ndarray, number: int) -> None:
    """A lamp is on for three frames, with its glow."""
    if number in range(6, 9):
        light = cv2.GaussianBlur(disc(70, 40, 9).astype(np.float32), (0, 0), 7.0)[..., None]
        clip[number] = np.clip(clip[number] + 1.6 * light, 0, 1)


def cut(clip: np.ndarray, number: int) -> None:
    if number > 6:
        clip[number] = 0.7 * picture(8) + 0.2


@pytest.mark.parametrize("change", [ball, walker, flash, lamp, cut])
def test_what_belongs_to_the_scene_stays(
    clip: np.ndarray, change: Callable[[np.ndarray, int], None]
) -> None:
    scene = clip.copy()
    for number in range(COUNT):
        change(scene, number)
    assert (np.abs(filled(scene) - scene).max(-1) > 2 / 255).mean() <= 0.0005


def test_holes_are_found_alike_wherever_work_goes_on(clip: np.ndarray) -> None:
    worn = clip.copy()
    for number in BURNT:
        worn[number][burn(number)] = 1
    whole = filled(worn)
    resumed = filled(worn, first_needed=lambda shot, first: first + 6)
    assert np.array_equal(whole[6:], resumed[6:])
    assert np.abs(whole - worn)[6].max() > 0.1


def test_a_frame_depends_on_few_frames_after_it() -> None:
    shot = pan(26, speed=2.0, seed=2).astype(np.float32)
    for number in range(1, 4):
        shot[number][burn(number)] = 1
    other = shot.copy()
    other[-1] = 0.5
    assert np.array_equal(filled(shot)[:4], filled(other)[:4])
