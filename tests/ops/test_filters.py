"""The separable filter equals convolution with its kernel, and keeps what is constant."""

import pytest
import torch
import torch.nn.functional as F

from vsr.ops.filters import gaussian_half, smooth


@pytest.mark.parametrize(("size", "dilation"), [((23, 17), 1), ((40, 48), 4), ((3, 2), 2)])
def test_it_equals_a_convolution_with_replicated_borders(size, dilation):
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    half = gaussian_half(1.1)
    row = torch.tensor([*reversed(half[1:]), *half])
    margin = (len(half) - 1) * dilation
    padded = F.pad(x.flatten(0, 1)[:, None], (margin,) * 4, mode="replicate")
    expected = F.conv2d(padded, torch.outer(row, row)[None, None], dilation=dilation)
    torch.testing.assert_close(smooth(x, half, dilation=dilation), expected.view_as(x))


def test_a_constant_map_stays():
    x = torch.full((5, 7), 0.25)
    torch.testing.assert_close(smooth(x, gaussian_half(3.0)), x)


def test_the_input_is_left_alone():
    x = torch.randn(4, 9, 9)
    before = x.clone()
    smooth(x, gaussian_half(1.5))
    assert torch.equal(x, before)
