"""Grain as a player's parameters: what a player makes of them has the grain's deviation."""

import numpy as np
import pytest

from vsr.restoration.film_grain_fit import PlaneCodes, film_grain_of, plane_codes
from vsr.video.color import FULL, LIMITED, MATRIX_BT601, MATRIX_BT709, ColorTags
from vsr.video.grain import BINS, BLOCK, MIDDLES, Grain, usual_variance
from vsr.video.writing.film_grain import FilmGrain

CODES = PlaneCodes(0.299, 0.114, is_full=False, is_halved=True)
SIZE = (240, 320)
LEVELS = 10.0
_LAG = 3


def grain(*, size: float, is_coloured: bool) -> Grain:
    """Grain of LEVELS at mid-grey, in each channel, with grains of so many pixels."""
    steps = np.fft.fftfreq(BLOCK)
    spectrum = np.exp(-((2 * np.pi * size) ** 2) * (steps[:, None] ** 2 + steps**2)) + 1e-4
    basis = np.eye(3) if is_coloured else np.ones((3, 1)) / np.sqrt(3)
    count = basis.shape[1]
    level = LEVELS / 255 * (1 if is_coloured else np.sqrt(3))
    return Grain(
        SIZE,
        basis,
        np.stack([spectrum / spectrum.mean()] * count),
        np.stack([level * np.sqrt(usual_variance(MIDDLES))] * count),
        np.full(BINS, 1 / BINS),
    )


def player_luma(found: FilmGrain) -> np.ndarray:
    """Luma grain as a player makes it (AV1 specification, 7.18.3.3), in whole levels of 8 bits."""
    rng = np.random.default_rng(3)
    made = np.rint(rng.normal(0, 512, (6, 73, 82)) / 2 ** (4 + found.grain_scale_shift))
    taps = [(y, x) for y in range(-_LAG, 1) for x in range(-_LAG, _LAG + 1) if (y, x) < (0, 0)]
    for y in range(_LAG, 73):
        for x in range(_LAG, 82 - _LAG):
            total = sum(
                c * made[:, y + dy, x + dx]
                for c, (dy, dx) in zip(found.coefficients[0], taps, strict=True)
            )
            made[:, y, x] = (made[:, y, x] + np.rint(total / 2**found.ar_shift)).clip(-128, 127)
    return made[:, 9:, 9:-9]


@pytest.fixture(scope="module")
def found() -> FilmGrain:
    result = film_grain_of(grain(size=0.8, is_coloured=False), SIZE, CODES)
    assert result is not None
    return result


def test_a_player_makes_luma_of_the_grain_s_deviation(found: FilmGrain) -> None:
    codes, strengths = zip(*found.points[0], strict=True)
    noise = player_luma(found) * np.interp(126, codes, strengths) / 2**found.scaling_shift
    assert noise.std() == pytest.approx(LEVELS * 219 / 255, rel=0.08)


def test_a_player_makes_luma_of_the_grain_s_spectrum(found: FilmGrain) -> None:
    noise = player_luma(found)
    neighbours = (noise[:, :, 1:] * noise[:, :, :-1]).mean() / (noise**2).mean()
    # grains of a Gaussian shape: two pixels at a distance d share exp(-d^2 / (4 size^2))
    assert neighbours == pytest.approx(np.exp(-1 / (4 * 0.8**2)), abs=0.05)


def test_strengths_follow_the_brightness(found: FilmGrain) -> None:
    strengths = [strength for _, strength in found.points[0]]
    assert max(strengths) == max(strengths[4:6])
    assert strengths[0] < 0.4 * max(strengths)


def test_grey_grain_has_no_chroma_and_coloured_has(found: FilmGrain) -> None:
    coloured = film_grain_of(grain(size=0.8, is_coloured=True), SIZE, CODES)
    assert coloured is not None
    assert found.points[1:] == ((), ())
    assert all(coloured.points)


def test_coarse_enlarged_grain_gets_a_filter_that_is_stable() -> None:
    found = film_grain_of(grain(size=1.6, is_coloured=False), (4 * SIZE[0], 4 * SIZE[1]), CODES)
    assert found is not None
    made = player_luma(found)
    assert 2 < made.std() < 40
    assert np.abs(made).max() < 128


def test_planes_follow_the_tags_of_the_film() -> None:
    wide = plane_codes(ColorTags(matrix=MATRIX_BT709, range=FULL), "yuv420p10le")
    assert wide == PlaneCodes(0.2126, 0.0722, is_full=True, is_halved=True)
    small = plane_codes(ColorTags(matrix=MATRIX_BT601, range=LIMITED), "yuv444p")
    assert small == PlaneCodes(0.299, 0.114, is_full=False, is_halved=False)
