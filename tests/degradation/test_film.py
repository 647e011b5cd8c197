import dataclasses
import subprocess
import sys
import zlib
from itertools import pairwise

import numpy as np
import pytest

from tests.degradation.test_degradation import NOTHING, clip
from vsr.degradation import (
    DegradationConfig,
    FilmConfig,
    degradation_preset,
    degrade,
    old_film_config,
)
from vsr.degradation.draw import Draw
from vsr.degradation.film import (
    _lives,  # pyright: ignore[reportPrivateUsage]
    add_dust,
    add_grain,
    add_hair,
    add_halation,
    add_scratch,
    fade,
    flicker,
    smooth_path,
    turn_grey,
    wandering,
    wear,
    weave,
)
from vsr.degradation.film_config import (
    DustConfig,
    FadingConfig,
    GrainConfig,
    HairConfig,
    HalationConfig,
    ScratchConfig,
    WeaveConfig,
)
from vsr.errors import ConfigError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def grey(t: int = 6, h: int = 96, w: int = 128, level: float = 0.5) -> np.ndarray:
    return np.full((t, h, w, 3), level, np.float32)


def checksums(seeds: range) -> list[int]:
    config = old_film_config()
    return [zlib.crc32(degrade(clip(5), config=config, rng=rng(seed))) for seed in seeds]


def test_a_seed_wears_a_film_in_the_same_way_in_another_process() -> None:
    code = "from tests.degradation.test_film import checksums; print(checksums(range(12)))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(checksums(range(12)))
    assert len(set(checksums(range(12)))) == 12


def test_frames_stay_in_range_and_the_input_as_it_was() -> None:
    frames = clip(5)
    before = frames.copy()
    for seed in range(20):
        draw = Draw(rng(seed), 1.0, 0.03, (64, 80))
        worn = wear(frames, FilmConfig(), draw)
        assert worn.shape == frames.shape
        assert worn.dtype == np.float32
        assert 0 <= worn.min() <= worn.max() <= 1
    np.testing.assert_array_equal(frames, before)


def test_no_film_draws_nothing_more() -> None:
    plain = DegradationConfig(first=NOTHING, second=NOTHING)
    worn = dataclasses.replace(plain, film=FilmConfig())
    without, with_film = (degrade(clip(), config=c, rng=rng(1)) for c in (plain, worn))
    assert np.abs(without.astype(int) - with_film).mean() > 1
    np.testing.assert_array_equal(without, degrade(clip(), config=plain, rng=rng(1)))


def test_a_scratch_stands_in_every_frame_and_wanders() -> None:
    path = wandering(6, start=60, speed=0.5, rng=rng())
    worn = add_scratch(grey(), x=path, contrast=np.full(3, 0.4, np.float32), width=2.0, rng=rng())
    brightest = (worn - 0.5).mean((1, 3)).argmax(1)
    np.testing.assert_allclose(brightest, path, atol=1)
    assert 0 < np.abs(np.diff(path)).max() < 3
    column = worn[0, :, brightest[0] - 1 : brightest[0] + 2].max(1)[:, 0]
    assert column.max() > 0.7
    assert column.min() < 0.7  # it is broken in places


def test_the_profile_of_a_scratch_is_that_of_kokaram() -> None:
    worn = add_scratch(
        grey(1), x=np.array([64.0]), contrast=np.ones(3, np.float32), width=4.0, rng=rng(3)
    )
    row = (worn[0, :, :, 0] - 0.5).mean(0) / (worn[0, :, 64, 0] - 0.5).mean()
    distance = np.arange(-8, 9)
    expected = 0.1 ** (np.abs(distance) / 4) * np.cos(3 * np.pi * distance / 8)
    np.testing.assert_allclose(row[56:73], expected, atol=0.1)  # it leans by up to a pixel


def test_a_scratch_is_absent_where_its_path_is() -> None:
    path = np.array([60.0, np.nan, 60.0])
    worn = add_scratch(grey(3), x=path, contrast=np.ones(3, np.float32), width=2.0, rng=rng())
    changed = np.abs(worn - 0.5).max((1, 2, 3)) > 0
    assert changed.tolist() == [True, False, True]


def test_dust_lives_for_one_frame() -> None:
    worn = add_dust(
        grey(), per_frame=8, radius=2, opacity=0.9, dark_share=0.5, fibre_share=0.2, rng=rng()
    )
    marks = np.abs(worn - 0.5).max(-1) > 0.1
    assert all(mark.any() for mark in marks)
    by_chance = marks.mean() ** 2
    assert (marks[:-1] & marks[1:]).mean() < 2 * by_chance
    assert worn.min() < 0.2
    assert worn.max() > 0.8


def test_a_hair_stays_in_its_place_for_its_frames() -> None:
    worn = add_hair(grey(8), first=2, last=6, length=50, thickness=1.5, opacity=0.9, rng=rng(1))
    marks = (0.5 - worn).max(-1) > 0.1
    assert [bool(mark.any()) for mark in marks] == [False] * 2 + [True] * 5 + [False]
    for before, after in pairwise(marks[2:7]):
        assert (before & after).sum() > 0.5 * before.sum()


def test_things_come_and_go_at_the_asked_rate() -> None:
    t, life, expected = 40, 10.0, 3.0
    counts = np.zeros(t)
    for seed in range(300):
        for first, last in _lives(t, expected, life, rng(seed)):
            counts[first : last + 1] += 1
    # Rounding up of lives to whole frames adds about half a frame to each.
    np.testing.assert_allclose(counts / 300, expected * (1 + 0.5 / life), atol=0.5)


def test_weave_is_smooth_and_returns() -> None:
    path = smooth_path(2000, deviation=1.5, period=8, rng=rng())
    assert path.std() == pytest.approx(1.5, rel=0.15)
    assert abs(path.mean()) < 0.5
    # White noise of that strength would step by 1.5 * sqrt(2).
    assert np.diff(path).std() < 0.5


def test_weave_moves_the_frame_by_its_path() -> None:
    frames = np.repeat(clip(1), 3, axis=0)
    zero = np.zeros(3)
    moved = weave(frames, x=np.array([0.0, 2.0, 0.0]), y=np.array([0.0, 0.0, -3.0]), degrees=zero)
    np.testing.assert_allclose(moved[0], frames[0], atol=1e-5)
    np.testing.assert_allclose(moved[1, :, 4:], frames[1, :, 2:-2], atol=1e-5)
    np.testing.assert_allclose(moved[2, :-6], frames[2, 3:-3], atol=1e-5)


@pytest.mark.parametrize("size", [0.4, 1.0, 1.5])
def test_grain_has_its_strength_at_mid_grey_whatever_its_size(size: float) -> None:
    noise = add_grain(grey(), sigma=0.05, size=size, colour=True, rng=rng()) - 0.5
    assert noise.std() == pytest.approx(0.05, rel=0.05)


def test_grain_follows_the_boolean_model_and_is_new_in_each_frame() -> None:
    deviations = []
    for level in (0.1, 0.5, 0.9):
        noise = add_grain(grey(level=level), sigma=0.05, size=0.8, colour=False, rng=rng()) - level
        deviations.append(noise.std())
        assert np.ptp(noise, axis=-1).max() < 1e-6
        following = np.corrcoef(noise[0, ..., 0].ravel(), noise[1, ..., 0].ravel())[0, 1]
        beside = np.corrcoef(noise[0, :, 1:, 0].ravel(), noise[0, :, :-1, 0].ravel())[0, 1]
        assert abs(following) < 0.05
        assert beside > 0.3
    expected = [0.05 * 2 * np.sqrt(u * (1 - u)) for u in (0.1, 0.5, 0.9)]
    np.testing.assert_allclose(deviations, expected, rtol=0.06)


def test_flicker_is_a_gain_of_whole_frames() -> None:
    worn = flicker(grey(400, 8, 8), strength=0.1, local=0.0, memory=0.3, rng=rng())
    gains = np.log(worn[:, 0, 0, 0] / 0.5)
    assert np.ptp(worn, axis=(1, 2, 3)).max() < 1e-6
    assert gains.std() == pytest.approx(0.1, rel=0.15)
    assert np.corrcoef(gains[1:], gains[:-1])[0, 1] == pytest.approx(0.3, abs=0.15)


def test_local_flicker_varies_slowly_over_the_frame() -> None:
    worn = flicker(grey(3), strength=0.0, local=0.1, memory=0.0, rng=rng())
    assert np.ptp(worn[0]) > 0.02
    assert np.abs(np.diff(worn, axis=2)).max() < 0.01


def test_fading_takes_density_off_each_dye() -> None:
    black = np.array([[0.1, 0.1, 0.1]], np.float32).reshape(1, 1, 1, 3)
    worn = fade(black, losses=np.array([0.5, 0.2, 0.0]), stain=np.array([0.0, 0.0, 0.1]))
    # Densities 1 -> 0.5, 0.8 and 1 + 0.1.
    np.testing.assert_allclose(worn.ravel(), 10 ** -np.array([0.5, 0.8, 1.1]), rtol=1e-5)


def test_grey_film_has_one_tint() -> None:
    worn = turn_grey(clip(2) * 0.9)
    ratios = worn[worn[..., 1] > 0.05]
    np.testing.assert_allclose(ratios[:, 0] / ratios[:, 1], 1.05, rtol=1e-3)
    np.testing.assert_allclose(ratios[:, 2] / ratios[:, 1], 0.85, rtol=1e-3)


def test_halation_glows_red_around_lights_alone() -> None:
    frames = grey(1, level=0.2)
    frames[:, 40:56, 56:72] = 1
    added = add_halation(frames, strength=0.4, radius=5, threshold=0.7) - frames
    beside, far = added[0, 48, 76], added[0, 5, 5]
    assert beside[0] > 3 * beside[2] > 0
    assert far.max() < 1e-3
    np.testing.assert_array_equal(
        add_halation(grey(1), strength=0.4, radius=5, threshold=0.7), grey(1)
    )


def test_presets_are_named() -> None:
    assert degradation_preset("default") == DegradationConfig()
    assert degradation_preset("old_film").film == FilmConfig()
    with pytest.raises(ConfigError, match="there are default, published, old_film"):
        degradation_preset("new_film")


@pytest.mark.parametrize(
    "make",
    [
        lambda: ScratchConfig(probability=2.0),
        lambda: ScratchConfig(width=(0.0, 1.0)),
        lambda: DustConfig(per_megapixel=(-1.0, 1.0)),
        lambda: HairConfig(life=(0.0, 1.0)),
        lambda: WeaveConfig(period=(0.0, 4.0)),
        lambda: GrainConfig(size=(0.0, 1.0)),
        lambda: FadingConfig(loss=(0.1, 1.0)),
        lambda: HalationConfig(threshold=1.0),
    ],
)
def test_impossible_wear_is_an_error(make: object) -> None:
    with pytest.raises(ConfigError):
        make()  # pyright: ignore[reportCallIssue]
