"""The wear that is measured before the work: a clean film is called clean, a worn one is not."""

import numpy as np
import pytest

from tests.restoration.scenes import pan, picture, still
from vsr.degradation.film import fade
from vsr.restoration.images import as_bytes
from vsr.restoration.measure import measure


def full_range(frames: int) -> np.ndarray:
    """A still scene with black and white in it."""
    clip = np.repeat(picture(3)[None], frames, 0)
    return np.clip((clip - 0.5) * 1.9 + 0.5, 0, 1)


def test_a_clean_film_needs_nothing() -> None:
    wear = measure(list(as_bytes(full_range(5))))
    assert wear.repairs == ()
    assert "not faded" in str(wear)


def test_a_faded_film_is_said_to_be_faded() -> None:
    worn = fade(full_range(5), losses=np.full(3, 0.7), stain=np.full(3, 0.02))
    wear = measure(list(as_bytes(worn)))
    assert "fading" in wear.repairs
    assert "faded with a certainty of" in str(wear)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_leader_and_a_flash_tell_nothing_and_need_nothing(value: float) -> None:
    wear = measure(list(as_bytes(np.full((5, 48, 64, 3), value, np.float32))))
    assert wear.repairs == ()


@pytest.mark.parametrize("count", [1, 2])
def test_a_film_of_few_frames_is_measured(count: int) -> None:
    for scene in (still, pan):
        assert measure(list(as_bytes(scene(count)))).frames == count


def test_a_burn_of_three_frames_is_said_to_be_a_hole() -> None:
    clip = pan(9, speed=3.0)
    clip[3:6, 30:55, 60:90] = 1
    wear = measure(list(as_bytes(clip)))
    assert "holes" in wear.repairs
    assert "holes in 3 frames" in str(wear)
