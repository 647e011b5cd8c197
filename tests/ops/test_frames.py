"""Large frames take the colours of the small ones, or keep theirs."""

import pytest
import torch

from vsr.ops.frames import match_colors


def test_without_a_method_colours_stay():
    frames = torch.rand(1, 3, 2, 16, 20)
    assert match_colors(frames, torch.zeros(1, 3, 2, 4, 5), color="none") is frames


@pytest.mark.parametrize("color", ["wavelet", "adain"])
def test_frames_take_the_mean_colour_of_the_small_ones(color):
    frames = torch.rand(1, 3, 2, 32, 32) / 2
    small = torch.full((1, 3, 2, 8, 8), -0.25)
    matched = match_colors(frames, small, color=color)
    torch.testing.assert_close(
        matched.mean(dim=(3, 4)), torch.full((1, 3, 2), -0.25), atol=0.02, rtol=0
    )
