"""The repairs that the options of a run ask for, and the grain that its enlarged frames get."""

from collections.abc import Sequence

import numpy as np

from vsr.config import NO_MODEL, UpscaleConfig
from vsr.option_values import parse_grain
from vsr.restoration.grain_synthesis import with_grain
from vsr.restoration.plan import RepairPlan
from vsr.runtime.timing import Timer
from vsr.video.pixels import Pixels
from vsr.video.reading.reader import Frame


def repair_plan(config: UpscaleConfig) -> RepairPlan:
    """Return the repairs of the config; a film whose player adds the grain has none of its own."""
    is_given = config.model != NO_MODEL or config.grain_table
    return RepairPlan.of(config.repairs, grain=parse_grain(config.grain), is_enlarged=is_given)


def with_grain_of(
    frames: Sequence[Frame], pixels: Pixels, first_frame: int, timer: Timer
) -> Pixels:
    """Return the enlarged pixels of `frames` with the grain that was taken out of these.

    `first_frame` is the number of the first in the film, on which grain depends.
    """
    if all(frame.grain is None for frame in frames):
        return pixels
    numbered = enumerate(zip(frames, pixels, strict=True), first_frame)
    with timer("grain"):
        return np.stack(
            [
                picture if frame.grain is None else with_grain(picture, frame.grain, number)
                for number, (frame, picture) in numbered
            ]
        )
