"""Far flow follows a shot for many frames, and knows where it cannot."""

from itertools import pairwise

import pytest
import torch

from tests.propagation.scenes import moving, small
from vsr.models.flow_estimators import key_flow
from vsr.propagation.far_flow import FarFlow, Step
from vsr.propagation.key_places import Box

DIS = key_flow()


def followed(frames: torch.Tensor) -> FarFlow:
    """The flow from the last frame to the first."""
    flow = FarFlow.at(frames[:1])
    for before, frame in pairwise(frames):
        step = Step.between(before[None], frame[None], DIS)
        flow = flow.next(frame[None], step, DIS)
    return flow


@pytest.mark.parametrize("step", [(0, 2), (3, -0), (0, 6)])
def test_motion_is_followed_over_many_frames(step: tuple[int, int]) -> None:
    count = 12
    frames = small(moving(count, step))
    flow = followed(frames)
    rows, columns = ((count - 1) * side / 4 for side in step)
    expected = torch.tensor([columns, rows]).view(1, 2, 1, 1)
    inside = (..., slice(8, -20), slice(8, -20))
    missed = (flow.there - expected).square().sum(dim=1).sqrt()[inside]
    assert missed.median() < 0.15
    assert flow.confidence[inside].median() > 0.7


def test_where_the_flow_leaves_the_picture_little_is_trusted() -> None:
    flow = followed(small(moving(12, (0, 6))))
    assert flow.confidence[..., -12:].mean() < 0.25


def test_what_the_anchor_does_not_show_is_not_trusted() -> None:
    frames = small(moving(4, (0, 2)))
    frames[-1, :, 10:30, 20:40] = small(moving(1, (0, 0), seed=5))[0, :, 10:30, 20:40]
    confidence = followed(frames).confidence
    assert confidence[..., 14:26, 24:36].mean() < 0.1
    assert confidence[..., 34:44, 4:50].mean() > 0.6


def test_a_lamp_that_flickers_takes_no_trust() -> None:
    frames = small(moving(4, (0, 2))) * 0.7
    steady = followed(frames).confidence.mean()
    frames[-1] += 0.2
    assert followed(frames).confidence.mean() > 0.9 * steady


def test_in_a_window_the_same_motion_is_found_and_nothing_is_trusted_outside() -> None:
    frames = small(moving(3, (0, 2)))
    window = Box(8, 8, 44, 56)
    flow = FarFlow.at(frames[:1])
    for before, frame in pairwise(frames):
        step = Step.between(before[None], frame[None], DIS)
        flow = flow.next(frame[None], step, DIS, window)
    inside = window.grown(-6, (48, 64))
    missed = inside.crop(flow.there[:, :1]) - 1.0
    assert missed.abs().median() < 0.15
    outside = torch.ones_like(flow.confidence)
    window.crop(outside).zero_()
    assert (flow.confidence * outside).max() == 0
