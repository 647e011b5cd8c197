"""Frames enter in two forms and leave in two, and anything else is an error that says so."""

import numpy as np
import pytest
import torch

from vsr.errors import InputError
from vsr.ops.frames import as_low_res, collect, match_colors


def _bytes(t: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (t, 4, 5, 3), dtype=np.uint8)


def test_bytes_become_floats_from_minus_one_to_one():
    frames = np.zeros((1, 1, 2, 3), np.uint8)
    frames[0, 0, 1] = 255
    assert as_low_res(frames)[0, 0].tolist() == [[[-1, 1]]]


def test_bytes_come_back_as_they_were():
    assert np.array_equal(collect([as_low_res(_bytes())], "np", like=_bytes()), _bytes())


@pytest.mark.parametrize("whole", [np.asarray, torch.from_numpy])
def test_sixteen_bits_come_back_as_they_were(whole):
    frames = np.arange(65536, dtype=np.uint16).reshape(1, 64, 1024)[..., None].repeat(3, -1)
    given = whole(frames)
    low_res = as_low_res(given)
    assert (low_res.min(), low_res.max()) == (-1, 1)
    back = collect([low_res], "np", like=given)
    assert back.dtype == np.uint16
    assert np.array_equal(back, frames)


def test_groups_are_joined_in_their_order():
    low_res = as_low_res(_bytes(5))
    groups = [low_res[:, :, :2], low_res[:, :, 2:]]
    assert np.array_equal(collect(groups, "np", like=low_res), _bytes(5))
    assert torch.equal(collect(groups, "pt", like=low_res), low_res)


def test_floats_are_taken_as_they_are():
    low_res = torch.rand(1, 3, 2, 4, 5) * 2 - 1
    assert torch.equal(as_low_res(low_res), low_res)
    assert torch.equal(as_low_res(low_res.double().numpy()), low_res)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((4, 5, 3), np.uint8),
        np.zeros((2, 3, 4, 5), np.uint8),
        np.zeros((2, 4, 5, 3), np.float32),
        np.zeros((2, 4, 5, 3), np.int64),
        torch.zeros(2, 3, 2, 4, 5),
        torch.zeros(1, 4, 2, 4, 5),
    ],
)
def test_frames_of_another_form_are_an_error_that_says_both(frames):
    with pytest.raises(InputError, match=r"of shape \(.*give uint8 or uint16 \(t, h, w, 3\), or"):
        as_low_res(frames)


def test_frames_that_are_no_array_are_an_error_that_names_what_they_are():
    with pytest.raises(InputError, match="frames are a list; give a NumPy array or a tensor"):
        as_low_res([1, 2])


@pytest.mark.parametrize("shape", [(0, 4, 5, 3), (2, 0, 5, 3)])
def test_no_frames_are_an_error(shape):
    with pytest.raises(InputError, match="are empty; give at least one"):
        as_low_res(np.zeros(shape, np.uint8))


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
