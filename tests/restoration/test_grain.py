"""Grain: measured, taken out, and given back at the output's scale, by the frame's number."""

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest

from tests.restoration.scenes import repaired
from tools.repair_figures import ring_powers
from vsr.degradation.film import add_grain
from vsr.restoration.grain_measure import measure_grain
from vsr.restoration.grain_synthesis import with_grain
from vsr.restoration.images import as_bytes
from vsr.restoration.plan import RepairPlan
from vsr.restoration.stage import Restorer
from vsr.video.grain import Grain
from vsr.video.reading.reader import Frame

FRAMES, HEIGHT, WIDTH = 8, 224, 320
SIGMA, SIZE = 9 / 255, 1.0


def soft_pan() -> np.ndarray:
    """A soft picture from dark to bright that moves by a pixel and a half a frame."""
    rng = np.random.default_rng(0)
    wide = np.zeros((HEIGHT, WIDTH + 16), np.float32)
    for size in (12.0, 40.0):
        layer = cv2.GaussianBlur(rng.standard_normal(wide.shape, np.float32), (0, 0), size)
        wide += layer / layer.std()
    wide = 0.5 + 0.4 * np.tanh(wide / 1.5)
    moves = [np.float32([[1, 0, -1.5 * i], [0, 1, 0]]) for i in range(FRAMES)]
    shown = [cv2.warpAffine(wide, m, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC) for m in moves]
    return np.clip(np.stack(shown), 0, 1)[..., None].repeat(3, -1)


@pytest.fixture(scope="module", params=[False, True], ids=["grey", "coloured"])
def grainy(request) -> tuple[np.ndarray, np.ndarray]:
    """A sound clip and the same with grain."""
    clip = soft_pan()
    rng = np.random.default_rng(1)
    return clip, add_grain(clip, sigma=SIGMA, size=SIZE, colour=request.param, rng=rng)


def enlarged(clip: np.ndarray) -> np.ndarray:
    return as_bytes(cv2.resize(clip[3], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))


def radial(grain: np.ndarray, scale: int) -> np.ndarray:
    return ring_powers(grain, scale, width=0.04, end=0.2)


def test_the_given_grain_has_the_variance_of_the_source_at_each_brightness(grainy) -> None:
    clip, worn = grainy
    measured = measure_grain(list(as_bytes(worn)))
    assert measured is not None
    large = enlarged(clip)
    given = with_grain(large, measured, 3).astype(np.float32) - large
    own = (worn - clip) * 255
    for low in (40, 80, 120, 160):
        at_source = (clip.mean(-1) * 255 >= low) & (clip.mean(-1) * 255 < low + 40)
        at_output = (large.mean(-1) >= low) & (large.mean(-1) < low + 40)
        assert given[at_output].var() == pytest.approx(own[at_source].var(), rel=0.15)


def test_the_given_grain_has_the_spectrum_of_the_source_scaled(grainy) -> None:
    clip, worn = grainy
    measured = measure_grain(list(as_bytes(worn)))
    assert measured is not None
    large = enlarged(clip)
    given = np.mean(
        [radial(with_grain(large, measured, n) - large.astype(float), 2) for n in (1, 2)], 0
    )
    own = np.mean([radial(worn[n] - clip[n], 1) for n in range(FRAMES)], 0)
    assert given == pytest.approx(own, rel=0.15)


def test_the_given_grain_has_the_colours_of_the_source(grainy) -> None:
    clip, worn = grainy
    measured = measure_grain(list(as_bytes(worn)))
    assert measured is not None
    large = enlarged(clip)
    given = with_grain(large, measured, 3) - large.astype(float)
    alike, found = (np.corrcoef(x.reshape(-1, 3).T) for x in (worn - clip, given))
    assert np.abs(found - alike).max() < 0.06


def test_grain_depends_on_the_number_of_the_frame_alone(grainy) -> None:
    clip, worn = grainy
    measured = measure_grain(list(as_bytes(worn)))
    assert measured is not None
    large = enlarged(clip)
    first, again, other = (with_grain(large, measured, number) for number in (7, 7, 8))
    assert np.array_equal(first, again)
    assert (
        np.abs(
            np.corrcoef(
                (first - large.astype(float)).ravel(), (other - large.astype(float)).ravel()
            )[0, 1]
        )
        < 0.02
    )


def test_most_of_the_grain_is_taken_out(grainy) -> None:
    clip, worn = grainy
    found = repaired(worn, grain=1)
    assert ((found - clip) ** 2).mean() < 0.15 * ((worn - clip) ** 2).mean()


def test_a_film_without_grain_is_not_touched() -> None:
    clip = soft_pan()
    assert measure_grain(list(as_bytes(clip))) is None
    assert np.abs(repaired(clip, grain=1) - clip).max() < 1 / 65535 + 1e-6


def test_a_frame_of_its_own_size_keeps_its_own_grain(grainy) -> None:
    _, worn = grainy
    none, half = (repaired(worn, grain=1, own_grain=share) for share in (0, 0.5))
    assert np.allclose(half, (none + np.clip(worn, 0, 1)) / 2, atol=1e-4)
    assert not RepairPlan.of({"grain": 1.0})


def test_grain_of_a_shot_is_the_same_where_work_goes_on(grainy) -> None:
    _, worn = grainy
    given = [(Frame(p, i, Fraction(1, 25)), i == 0) for i, p in enumerate(as_bytes(worn))]
    plan = RepairPlan.of({"grain": 1.0}, is_enlarged=True)
    whole = [frame for frame, _ in Restorer(plan).frames(given)]
    resumed = [frame for frame, _ in Restorer(plan, first_needed=lambda *_: 5).frames(given)]
    assert np.array_equal(whole[6].pixels, resumed[6].pixels)
    assert described(whole[6].grain) == described(resumed[6].grain)


def described(grain: Grain | None) -> list[float]:
    assert grain is not None
    return [*grain.deviations.ravel(), *grain.spectra.ravel(), grain.strength]


@pytest.mark.parametrize("count", [1, 2])
def test_shots_of_few_frames_are_measured_or_left_alone(count: int, grainy) -> None:
    _, worn = grainy
    assert len(repaired(worn[:count], grain=1)) == count


def test_strength_scales_the_given_grain(grainy) -> None:
    clip, worn = grainy
    measured = measure_grain(list(as_bytes(worn)))
    assert measured is not None
    large = enlarged(clip)
    whole, half = (
        with_grain(large, replace(measured, strength=share), 3) - large.astype(float)
        for share in (1, 0.5)
    )
    assert half.std() == pytest.approx(0.5 * whole.std(), rel=0.03)
