"""Scratches: lines that stay while the film runs go, and poles that belong to the scene stay."""

import numpy as np

from tests.restoration import scenes
from tests.restoration.scenes import WIDTH, repaired
from vsr.degradation.film import add_scratch, wandering


def still(frames: int) -> np.ndarray:
    """A tall scene with little contrast: a strip of it has enough rows to see a line."""
    return tall(scenes.still(frames))


def pan(frames: int) -> np.ndarray:
    return tall(scenes.pan(frames))


def tall(clip: np.ndarray) -> np.ndarray:
    return 0.5 + 0.3 * (np.concatenate([clip, clip[:, ::-1], clip], axis=1) - 0.5)


def scratched(clip: np.ndarray, contrast: float = 0.25) -> np.ndarray:
    rng = np.random.default_rng(4)
    x = wandering(len(clip), start=70, speed=0.3, rng=rng)
    tint = np.full(3, contrast, np.float32)
    return np.clip(add_scratch(clip, x=x, contrast=tint, width=1.5, rng=rng), 0, 1)


def with_pole(clip: np.ndarray, speed: float) -> np.ndarray:
    """The clip with a thin bright pole in its scene."""
    clip = clip.copy()
    for number, frame in enumerate(clip):
        distance = np.abs(np.arange(WIDTH) - (100 - speed * number))
        frame += 0.25 * np.clip(1.5 - distance, 0, 1)[None, :, None].astype(np.float32)
    return np.clip(clip, 0, 1)


def test_a_scratch_goes_and_the_picture_under_it_comes_back() -> None:
    for clip in (still(9), pan(9)):
        worn = scratched(clip)
        defects = np.abs(worn - clip).max(-1) > 0.04
        error = np.abs(repaired(worn, scratches=1) - clip)[defects].mean()
        assert error < 0.5 * np.abs(worn - clip)[defects].mean()


def test_a_film_without_scratches_is_not_touched() -> None:
    for clip in (still(9), pan(9)):
        assert (np.abs(repaired(clip, scratches=1) - clip).max(-1) > 2 / 255).mean() < 0.0005


def test_a_pole_stays_in_a_still_scene_and_in_a_pan() -> None:
    for clip in (with_pole(still(9), 0), with_pole(pan(9), 1.5)):
        assert np.abs(repaired(clip, scratches=1) - clip).max() <= 2 / 255


def with_facade(clip: np.ndarray, speed: float) -> np.ndarray:
    """The clip with rows of thin columns, as a facade has, that go with the scene."""
    columns = np.arange(WIDTH)
    for number, frame in enumerate(clip := clip.copy()):
        distance = np.abs((columns + speed * number + 6) % 12 - 6)
        frame += 0.2 * np.clip(1.5 - distance, 0, 1)[None, :, None].astype(np.float32)
    return np.clip(clip, 0, 1)


def test_the_columns_of_a_facade_stay_in_a_still_scene_and_in_a_pan() -> None:
    for clip in (with_facade(still(5), 0), with_facade(pan(6), 1.5)):
        assert (np.abs(repaired(clip, scratches=1) - clip).max(-1) > 2 / 255).mean() < 0.0005


def test_the_first_and_the_last_frame_of_a_shot_are_repaired_too() -> None:
    clip = pan(7)
    worn = scratched(clip)
    found = np.abs(repaired(worn, scratches=1) - worn).max((1, 2, 3))
    assert min(found[0], found[-1]) > 0.05
