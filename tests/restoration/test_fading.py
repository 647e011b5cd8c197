"""Fading: contrast and colours come back, shots go together, and a sound film stays."""

from fractions import Fraction

import numpy as np
import pytest

from tests.restoration.scenes import picture
from vsr.degradation.film import fade, turn_grey
from vsr.restoration.fading import curve_of, followed, measure_tones, without_fading
from vsr.restoration.images import as_bytes
from vsr.restoration.plan import RepairPlan
from vsr.restoration.stage import Restorer
from vsr.video.reading.reader import Frame


def coloured(seed: int) -> np.ndarray:
    """A picture with colours from black to white."""
    image = np.stack([picture(seed + c)[..., 0] for c in range(3)], -1)
    grey = picture(seed + 3)
    image = 0.6 * grey + 0.4 * image
    image = (image - image.min()) / np.ptp(image)
    return np.clip(1.1 * image - 0.05, 0, 1).astype(np.float32)


def faded(image: np.ndarray) -> np.ndarray:
    """Cyan and yellow dyes have gone, and a stain lies on all."""
    losses, stain = np.array([0.5, 0.2, 0.4]), np.array([0.02, 0.05, 0.1])
    return fade(image[None], losses=losses, stain=stain)[0]


def corrected(image: np.ndarray) -> np.ndarray:
    tones = measure_tones([as_bytes(image)])
    assert tones is not None
    return without_fading(image, curve_of(tones), strength=1)


def test_contrast_and_colours_come_back() -> None:
    image = coloured(0)
    worn = faded(image)
    assert np.abs(corrected(worn) - image).mean() < 0.5 * np.abs(worn - image).mean()


def test_a_sound_picture_is_not_touched() -> None:
    image = coloured(0)
    assert np.abs(corrected(image) - image).max() < 2 / 255


def test_a_black_and_white_film_keeps_its_tint() -> None:
    worn = turn_grey(0.25 + 0.5 * coloured(0)[None])[0]
    found = corrected(worn)
    assert np.ptp(found) > 1.2 * np.ptp(worn)
    dark, bright = (
        np.abs(x.mean((0, 1)) / x.mean() - worn.mean((0, 1)) / worn.mean()) for x in (found, worn)
    )
    assert dark.max() < 0.05
    assert bright.max() == 0


def test_curves_rise() -> None:
    tones = measure_tones([as_bytes(faded(coloured(0)))])
    assert tones is not None
    values = np.linspace(0, 1, 256, dtype=np.float32)[:, None].repeat(3, 1)
    assert (np.diff(curve_of(tones)(values), axis=0) >= 0).all()


def test_half_the_strength_is_half_the_change() -> None:
    worn = faded(coloured(0))
    tones = measure_tones([as_bytes(worn)])
    assert tones is not None
    whole, half = (without_fading(worn, curve_of(tones), strength=s) for s in (1, 0.5))
    assert np.allclose(half - worn, (whole - worn) / 2, atol=1e-6)


@pytest.mark.parametrize("value", [0, 255])
def test_black_leader_and_white_flashes_tell_nothing(value: int) -> None:
    assert measure_tones([np.full((40, 60, 3), value, np.uint8)]) is None


def test_shots_that_are_alike_have_one_curve_and_others_follow() -> None:
    worn = faded(coloured(0))
    first, second = (measure_tones([as_bytes(x)]) for x in (worn, 0.98 * worn))
    assert first is not None and second is not None
    one, two = curve_of(first), curve_of(second)
    assert followed(one, two) is one
    assert followed(None, one) is one
    assert followed(one, None) is one
    sound = curve_of(measure_tones([as_bytes(coloured(0))]))
    between = followed(one, sound)
    assert (np.minimum(one.power, sound.power) < between.power).any()
    assert (between.power < np.maximum(one.power, sound.power)).any()


def test_a_dark_shot_is_corrected_as_the_one_before_it() -> None:
    bright, dark = as_bytes(faded(coloured(0))), np.full((96, 144, 3), 20, np.uint8)
    marked = [(Frame(p, i, Fraction(1, 25)), True) for i, p in enumerate((bright, dark))]
    both = [frame.pixels for frame, _ in Restorer(RepairPlan(fading=1)).frames(marked)]
    alone = [frame.pixels for frame, _ in Restorer(RepairPlan(fading=1)).frames(marked[1:])]
    assert np.array_equal(alone[0], dark)
    assert both[1].mean() < dark.mean()


def test_shots_of_other_processes_count_too() -> None:
    pictures = [as_bytes(faded(coloured(0))), as_bytes(0.3 + 0.4 * coloured(4))]
    marked = [(Frame(p, i, Fraction(1, 25)), True) for i, p in enumerate(pictures)]
    plan = RepairPlan(fading=1)
    whole = [frame.pixels for frame, _ in Restorer(plan).frames(marked)]
    second = Restorer(plan, first_needed=lambda shot, first: first if shot == 1 else None)
    assert np.array_equal([f.pixels for f, _ in second.frames(marked)][1], whole[1])
