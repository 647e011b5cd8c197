"""The fast part of paths: noise of single frames has one, slow changes have none."""

import numpy as np
import pytest

from vsr.restoration.spectrum import SECOND, fast_noise, fast_shares, holds

RNG = np.random.default_rng(4)
NOISE = RNG.standard_normal((200, 2))
TIMES = np.arange(200.0)
SWAY = np.stack([5 * np.sin(TIMES / 7), TIMES * 0.3 + 4 * np.cos(TIMES / 9)], 1)


def test_white_noise_is_as_strong_in_the_fast_part_as_anywhere() -> None:
    assert fast_noise(0.3 * NOISE) == pytest.approx(0.3, rel=0.25)
    assert fast_noise(0.3 * NOISE + SWAY) == pytest.approx(0.3, rel=0.25)
    assert fast_noise(SWAY).max() < 0.05


def test_noise_has_a_fast_share_and_a_hand_has_none() -> None:
    noise = fast_shares(NOISE)
    assert noise.min() > 0.15
    assert np.median(noise) > 0.4
    assert fast_shares(NOISE + 2 * TIMES[:, None]) == pytest.approx(noise)
    assert fast_shares(SWAY).max() < 0.05


def test_a_short_path_proves_less() -> None:
    assert fast_shares(NOISE[: SECOND // 2]).max() <= 0.5
    assert fast_shares(np.zeros((1, 2))).tolist() == [0]


def test_a_state_lasts_between_its_two_thresholds() -> None:
    scores = np.array([0.0, 0.2, 0.3, 0.2, 0.2, 0.1, 0.2, 0.2])
    found = [holds(scores, centre, low=0.15, high=0.25) for centre in range(len(scores))]
    assert found == [False, True, True, True, True, False, False, False]
