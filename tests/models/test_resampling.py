"""Maps change their size as their layers say, by whichever way of computing it."""

import pytest
import torch
import torch.nn.functional as F

from vsr.models.blocks import fold_time
from vsr.models.resampling import Downsample, Upsample, doubled_and_convolved


def _map(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(("size", "half"), [((8, 6), (4, 3)), ((7, 9), (4, 5)), ((1, 1), (1, 1))])
def test_downsampling_halves_sizes_and_rounds_up(size, half):
    assert Downsample(4)(_map(1, 4, 2, *size)).shape == (1, 4, 2, *half)


def test_downsampling_padded_at_the_end_alone_rounds_down():
    assert Downsample(4, pad_end_only=True)(_map(1, 4, 2, 7, 8)).shape == (1, 4, 2, 3, 4)


@pytest.mark.parametrize(("size", "expected"), [(None, (6, 10)), ((5, 9), (5, 9))])
def test_upsampling_doubles_sizes_or_gives_the_size_asked_for(size, expected):
    assert Upsample(4, 6)(_map(1, 4, 2, 3, 5), size).shape == (1, 6, 2, *expected)


def test_upsampling_repeats_pixels_before_its_convolution():
    up = Upsample(4)
    x = _map(1, 4, 2, 3, 5)
    repeated = x.repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)
    torch.testing.assert_close(up(x), up.conv(repeated))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 6)])
def test_four_small_kernels_convolve_a_doubled_map(size):
    x, weight, bias = _map(2, 3, *size), _map(5, 3, 3, 3), _map(5)
    expected = F.conv2d(F.interpolate(x, scale_factor=2), weight, bias, padding=1)
    torch.testing.assert_close(doubled_and_convolved(x, weight, bias), expected)


@torch.no_grad()
def test_upsampling_in_bfloat16_is_that_in_float32_within_rounding():
    up, x = Upsample(16, 8), _map(1, 16, 2, 6, 5).bfloat16()
    expected = up(x.float())
    found = up.to(torch.bfloat16)(x)
    assert fold_time(found).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found.float(), expected, atol=0.02, rtol=0.02)
