"""Reduced frames keep what they can hold and lose what they cannot."""

import numpy as np

from vsr.ops.resize import reduce_frames


def test_the_same_size_changes_nothing() -> None:
    frames = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
    assert np.array_equal(reduce_frames(frames, 4, 6), frames)


def test_deep_frames_are_reduced_without_loss_of_their_depth() -> None:
    ramp = np.broadcast_to(np.arange(64)[None, None, :, None] * 1000, (1, 64, 64, 3))
    small = reduce_frames(ramp.astype(np.uint16), 32, 32)
    assert small.dtype == np.uint16
    assert np.abs(small[0, 0, 2:-2, 0] - (np.arange(32) * 2000 + 500.0)[2:-2]).max() <= 1


def test_a_flat_frame_stays_flat_at_any_size() -> None:
    frames = np.full((1, 40, 60, 3), 77, np.uint8)
    small = reduce_frames(frames, 26, 34)
    assert small.shape == (1, 26, 34, 3)
    assert (small == 77).all()


def test_a_pattern_finer_than_the_small_pixels_becomes_its_mean() -> None:
    columns = 200 * (np.arange(64) % 2)
    frames = np.broadcast_to(columns[None, None, :, None], (1, 64, 64, 3)).astype(np.uint8)
    small = reduce_frames(frames, 16, 16).astype(int)
    assert np.abs(small[:, :, 2:-2] - 100).max() <= 3


def test_a_ramp_stays_where_it_is() -> None:
    ramp = np.broadcast_to(np.arange(64)[None, None, :, None] * 3, (1, 64, 64, 3))
    small = reduce_frames(ramp.astype(np.uint8), 32, 32)
    assert np.abs(small[0, 0, 2:-2, 0] - (np.arange(32) * 6 + 1.5)[2:-2]).max() <= 1
