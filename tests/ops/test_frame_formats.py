"""Frames enter and leave in the forms of PIL, NumPy and torch; others are errors that say so."""

import numpy as np
import pytest
import torch
from PIL import Image

from vsr.errors import ConfigError, InputError
from vsr.ops.frame_formats import as_low_res, checked_output_type, collect, frame_pixels


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
        np.zeros((2, 4, 4, 5), np.uint8),
        np.zeros((2, 4, 5, 3), np.int64),
        torch.zeros(2, 3, 2, 4, 5),
        torch.zeros(1, 4, 2, 4, 5),
    ],
)
def test_frames_of_another_form_are_an_error_that_says_both(frames):
    with pytest.raises(InputError, match=r"of shape \(.*give uint8 or uint16 \(t, h, w, 3\), or"):
        as_low_res(frames)


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([1, 2], "frame 0 of the list is a int; give PIL images"),
        ("film.mp4", "frames are a str; give a NumPy array or a tensor"),
        ([], "frames are an empty list"),
        ([_bytes()[0], _bytes()[0, :3]], r"frame 1 is uint8 of shape \(3, 5, 3\) and frame 0 is"),
        (Image.new("RGBA", (5, 4)), r"mode RGBA; give RGB, as by \.convert\('RGB'\)"),
        (torch.rand(2, 3, 4, 5) * 2 - 1, r"floats from -.* must be in \[0, 1\]"),
        (torch.full((2, 3, 4, 5), torch.nan), r"floats from nan to nan"),
    ],
)
def test_what_is_no_frames_is_an_error_that_names_what_it_is(frames, says):
    with pytest.raises(InputError, match=says):
        as_low_res(frames)


_ARRAY = _bytes(3)
_FLOATS = _ARRAY.astype(np.float32) / 255


@pytest.mark.parametrize(
    "frames",
    [
        list(_ARRAY),
        tuple(torch.from_numpy(_ARRAY)),
        [Image.fromarray(frame) for frame in _ARRAY],
        _ARRAY.transpose(0, 3, 1, 2),
        list(torch.from_numpy(_ARRAY.transpose(0, 3, 1, 2))),
        torch.from_numpy(_ARRAY.transpose(0, 3, 1, 2)),
        _FLOATS,
        list(_FLOATS),
        torch.from_numpy(_FLOATS.transpose(0, 3, 1, 2)),
        _FLOATS.astype(np.float64),
    ],
    ids=range(10),
)
def test_every_form_means_the_same_frames(frames):
    torch.testing.assert_close(as_low_res(frames), as_low_res(_ARRAY), atol=1e-6, rtol=0)
    pixels = np.stack([frame_pixels(frame) for frame in frames])
    if pixels.dtype == np.uint16:
        pixels = np.round(pixels / 257)
    assert np.array_equal(pixels, _ARRAY)


def test_one_picture_is_one_frame():
    assert torch.equal(as_low_res(Image.fromarray(_ARRAY[0])), as_low_res(_ARRAY[:1]))


def test_images_come_back_as_a_list_of_images():
    found = collect([as_low_res(_ARRAY)], "pil", like=_ARRAY)
    assert [image.mode for image in found] == ["RGB"] * 3
    assert np.array_equal(np.stack([np.asarray(image) for image in found]), _ARRAY)


def test_a_list_of_sixteen_bits_comes_back_as_sixteen_bits():
    deep = list(_ARRAY.astype(np.uint16) * 257)
    assert np.array_equal(collect([as_low_res(deep)], "np", like=deep), np.stack(deep))


@pytest.mark.parametrize("kind", ["latent", "PIL", "numpy"])
def test_another_output_type_is_refused(kind):
    with pytest.raises(ConfigError, match=f"output_type = {kind}; it can be np, pt or pil"):
        checked_output_type(kind)


@pytest.mark.parametrize("shape", [(0, 4, 5, 3), (2, 0, 5, 3)])
def test_no_frames_are_an_error(shape):
    with pytest.raises(InputError, match="are empty; give at least one"):
        as_low_res(np.zeros(shape, np.uint8))
