"""Rotary positions turn channel pairs, by frequencies that fall."""

import pytest
import torch

from tests.models.rotation import turned
from vsr.models.rope import rotary_frequencies, rotate


def test_rotary_frequencies_fall_from_one_by_powers():
    assert rotary_frequencies(4, theta=100.0).tolist() == pytest.approx([1, 0.1])


def test_rotation_turns_the_first_channel_pairs_by_their_angles():
    x, angles = torch.randn(3, 5, 2, 8), torch.randn(5, 3)
    expected = turned(x.transpose(1, 2), angles).transpose(1, 2)
    torch.testing.assert_close(rotate(x, angles), expected, atol=1e-5, rtol=0)
