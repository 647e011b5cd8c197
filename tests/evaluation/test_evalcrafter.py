"""EvalCrafter's warping error: a flow that is known, and an independent implementation."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.evaluation.clips import figures_of, truth_clip
from tests.evaluation.documented import wrong_by
from vsr.evaluation.evalcrafter import EvalCrafterMeter
from vsr.models.flow_estimators import DisFlow
from vsr.ops.flow import Flows

# Of another implementation (vsreval 0.1.0, its mask and its sum) for the clip of `wavy_clip`, with
# the flows of DIS on the halved frames.
GOLDEN = 1.726189


def wavy_clip() -> list[np.ndarray]:
    """Smooth waves that drift and change their shape a little, so that motion explains most."""
    rows, columns = np.mgrid[:96, :128].astype(np.float64)
    clip: list[np.ndarray] = []
    for t in range(4):
        waves = [np.sin((columns - 2 * t) / 6 + rows / 9 + c + 0.1 * t * c) for c in range(3)]
        clip.append(np.rint(127 + 90 * np.stack(waves, -1)).astype(np.uint8))
    return clip


class Steady:
    """A flow of some pixels to the right everywhere."""

    def __init__(self, pixels: float) -> None:
        self.pixels = pixels

    def __call__(self, frames: Tensor) -> Flows:
        b, _, t, h, w = frames.shape
        flow = torch.zeros(b, 2, t - 1, h, w)
        flow[:, 0] = self.pixels
        return Flows(flow, -flow)


def test_motion_that_the_flow_explains_is_no_error() -> None:
    clip = truth_clip()
    inner = [one[:, 16:-16] for one in clip]
    error = figures_of(EvalCrafterMeter(Steady(1.0)), inner, inner)["ewarp_evalcrafter"]
    border = 1 / 48  # of the halved frame: the last column moves out
    assert error < 1e3 * 3 * border * 0.1
    assert figures_of(EvalCrafterMeter(Steady(0.0)), inner, inner)["ewarp_evalcrafter"] > 10


def test_squares_are_summed_over_the_channels() -> None:
    clip = [np.full((64, 64, 3), level, np.uint8) for level in (100, 151)]
    error = figures_of(EvalCrafterMeter(Steady(0.0)), clip, clip)["ewarp_evalcrafter"]
    assert error == pytest.approx(1e3 * 3 * (51 / 255) ** 2)


def test_the_error_is_that_of_another_implementation() -> None:
    clip = wavy_clip()
    error = figures_of(EvalCrafterMeter(DisFlow()), clip, clip)["ewarp_evalcrafter"]
    assert error == pytest.approx(GOLDEN, abs=wrong_by("ewarp_evalcrafter", "vsreval"))
