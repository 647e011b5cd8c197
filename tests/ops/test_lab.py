"""LAB colour transfer gives the numbers of the node that is used most, and is undone by itself."""

import torch

from tests.seedvr import fixture
from vsr.ops.frames import match_colors
from vsr.ops.lab import from_lab, match_lab, to_lab


def test_the_transfer_has_the_published_numbers():
    given = fixture("lab")
    found = match_lab(given["frames"], given["reference"])[..., ::3, ::3]
    # the order of nearly equal values is that of their last bits
    torch.testing.assert_close(found, given["lab_node"], atol=1e-3, rtol=0)


def test_lab_and_back_is_the_same_picture():
    rgb = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(from_lab(to_lab(rgb)), rgb, atol=1e-5, rtol=0)


def test_white_has_no_chroma():
    lab = to_lab(torch.ones(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(lab, torch.tensor([100.0, 0, 0]), atol=1e-2, rtol=0)


def test_a_frame_gets_its_colours_whatever_comes_with_it():
    frames = torch.rand(1, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    both = match_colors(frames, frames.flip(3), color="lab")
    one = match_colors(frames[:, :, 1:2], frames[:, :, 1:2].flip(3), color="lab")
    assert torch.equal(both[:, :, 1:2], one)
