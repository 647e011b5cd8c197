"""Holes are filled with what the frames around show there, along the motion."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.restoration.scenes import HEIGHT, WIDTH, pan
from vsr.errors import InputError
from vsr.restoration.holes import completed
from vsr.restoration.images import as_image, as_pixels
from vsr.restoration.plan import RepairPlan
from vsr.restoration.references import HoleMasks
from vsr.restoration.repair_pictures import RepairPictures
from vsr.restoration.stage import Restorer
from vsr.video.images import encode_png
from vsr.video.reading.reader import Frame

WHITE = np.zeros(1, np.uint8)
BURNT = range(4, 9)
"""Frames that have a hole, at the same place of the frame."""


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return pan(13, speed=5.0, seed=2).astype(np.float32)


@pytest.fixture(scope="module")
def hole() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.ellipse(mask, (70, 46), (9, 16), 20, 0, 360, 255, -1)
    return mask > 0


def frames_of(clip: np.ndarray) -> list[Frame]:
    return [Frame(as_pixels(i, WHITE), n, Fraction(1, 25)) for n, i in enumerate(clip)]


def burnt(clip: np.ndarray, hole: np.ndarray) -> np.ndarray:
    worn = clip.copy()
    for number in BURNT:
        worn[number][hole] = (1, 0.95, 0.8)
    return worn


def masks(folder: Path, hole: np.ndarray, numbers: range | list[int]) -> RepairPictures:
    picture = np.repeat(np.where(hole, 255, 0).astype(np.uint8)[..., None], 3, 2)
    for number in numbers:
        (folder / f"{number:05d}.png").write_bytes(encode_png(picture))
    return RepairPictures(masks=HoleMasks(folder))


def run(worn: np.ndarray, pictures: RepairPictures, **options) -> np.ndarray:
    marked = ((frame, n == 0) for n, frame in enumerate(frames_of(worn)))
    plan = RepairPlan(holes=1.0)
    found = [f.pixels for f, _ in Restorer(plan, pictures=pictures, **options).frames(marked)]
    return np.stack([as_image(pixels) for pixels in found])


def test_a_hole_of_several_frames_shows_what_is_behind_it(
    tmp_path: Path, clip: np.ndarray, hole: np.ndarray
) -> None:
    worn = burnt(clip, hole)
    filled = run(worn, masks(tmp_path, hole, BURNT))
    before, after = (np.abs(x - clip)[BURNT][:, hole].mean() for x in (worn, filled))
    assert after < 0.12 * before
    far = cv2.erode((~hole).astype(np.uint8), np.ones((25, 25))) > 0
    assert np.abs(filled - worn)[:, far].max() < 1 / 255
    others = [n for n in range(len(clip)) if n not in BURNT]
    assert np.abs(filled - worn)[others].max() < 1 / 255


def test_a_fill_has_the_brightness_of_its_frame(
    tmp_path: Path, clip: np.ndarray, hole: np.ndarray
) -> None:
    """The frame with the hole is darker than those around it, as films flicker."""
    dark = clip.copy()
    dark[6] *= 0.93
    worn = dark.copy()
    worn[6][hole] = 1
    filled = run(worn, masks(tmp_path, hole, [6]))
    assert abs(float((filled - dark)[6][hole].mean())) < 0.01


def test_a_hole_that_no_frame_shows_is_continued_from_its_borders(
    tmp_path: Path, clip: np.ndarray, hole: np.ndarray
) -> None:
    still = np.repeat(clip[:1], 5, 0)
    worn = still.copy()
    worn[:, hole] = 1
    filled = run(worn, masks(tmp_path, hole, range(5)))
    assert filled[:, hole].max() < 0.95
    assert np.abs(filled - still)[:, hole].mean() < 0.5 * np.abs(worn - still)[:, hole].mean()


def test_holes_are_filled_alike_wherever_work_goes_on(
    tmp_path: Path, clip: np.ndarray, hole: np.ndarray
) -> None:
    worn, pictures = burnt(clip, hole), masks(tmp_path, hole, BURNT)
    whole = run(worn, pictures)
    resumed = run(worn, pictures, first_needed=lambda shot, first: first + 6)
    assert np.array_equal(whole[6:], resumed[6:])


def test_unknown_values_are_between_those_around_them() -> None:
    values = np.linspace(0, 1, 40, dtype=np.float32)[None, :, None].repeat(30, 0)
    known = np.ones((30, 40), bool)
    known[8:20, 10:30] = False
    found = completed(np.where(known[..., None], values, 9), known)
    assert np.array_equal(found[known], values[known])
    assert np.abs(found - values)[~known].max() < 0.25
    assert np.array_equal(completed(values, np.zeros_like(known)), np.zeros_like(values))


def test_a_mask_of_another_shape_is_refused(tmp_path: Path, clip: np.ndarray) -> None:
    pictures = masks(tmp_path, np.zeros((HEIGHT, WIDTH // 2), bool), [1])
    with pytest.raises(InputError, match="another shape than the film's"):
        run(clip[:3], pictures)
