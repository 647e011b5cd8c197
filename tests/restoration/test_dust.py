"""Dust: specks of one frame are filled, and what moves or stays is not."""

import numpy as np
import pytest

from tests.restoration.scenes import HEIGHT, WIDTH, pan, repaired, still
from vsr.degradation.film import add_dust

TOUCHED = 2 / 255


def dusty(clip: np.ndarray) -> np.ndarray:
    return add_dust(
        clip, per_frame=3, radius=2, opacity=0.85, dark_share=0.5, fibre_share=0.2,
        rng=np.random.default_rng(2),
    )  # fmt: skip


@pytest.mark.parametrize("scene", [still, pan])
def test_most_of_the_dust_goes_and_the_picture_under_it_comes_back(scene) -> None:
    clip = scene(7)
    worn = dusty(clip)
    defects = np.abs(worn - clip).max(-1) > 0.06
    found = repaired(worn, dust=1)
    assert (np.abs(found - worn).max(-1) > TOUCHED)[defects].mean() > 0.85
    assert np.abs(found - clip)[defects].mean() < 0.3 * np.abs(worn - clip)[defects].mean()


@pytest.mark.parametrize("scene", [still, pan])
def test_a_film_without_dust_is_not_touched(scene) -> None:
    clip = scene(7)
    assert (np.abs(repaired(clip, dust=1) - clip).max(-1) > TOUCHED).mean() < 0.0005


@pytest.mark.parametrize("speed", [6, 11, 17])
def test_a_ball_that_flies_faster_than_its_size_stays(speed: int) -> None:
    clip = still(7)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for number, frame in enumerate(clip):
        ball = (rows - 40 - 2 * number) ** 2 + (columns - 12 - speed * number) ** 2 < 3.5**2
        frame[ball] = 0.97
    touched = np.abs(repaired(clip, dust=1) - clip).max(-1) > TOUCHED
    assert touched[1:-1].mean() < 0.0007


def test_a_lamp_that_is_switched_on_stays() -> None:
    clip = still(8)
    clip[4:, 30:36, 50:56] = 0.98
    assert np.abs(repaired(clip, dust=1) - clip).max() <= TOUCHED


def test_half_the_strength_is_half_the_change() -> None:
    worn = dusty(still(5))
    whole, half = (repaired(worn, dust=strength) for strength in (1, 0.5))
    assert np.allclose(half - worn, (whole - worn) / 2, atol=1e-4)
