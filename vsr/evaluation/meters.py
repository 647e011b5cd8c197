"""The form of every metric: a meter sees the frames of a clip one by one and returns figures."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""RGB `h w 3`, white is 255."""

Figures = dict[str, float]
"""Values by the name of the figure."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A frame of the output and the frame of the ground truth shown at the same time, if any."""

    index: int
    output: Picture
    truth: Picture | None = None

    @property
    def reference(self) -> Picture:
        """The ground truth, which the caller knows to be there."""
        assert self.truth is not None
        return self.truth


class Meter(Protocol):
    """Measures one clip."""

    def add(self, moment: Moment) -> Figures:
        """Return the figures of this frame; the mean over frames is the clip's figure."""
        ...

    def total(self) -> Figures:
        """Return the figures of the clip that are no means over its frames."""
        ...


class FrameMeter:
    """A meter of figures that need one frame alone, taken on every `every`-th frame."""

    def __init__(self, measure: Callable[[Moment], Figures], *, every: int = 1) -> None:
        self._measure = measure
        self._every = every

    def add(self, moment: Moment) -> Figures:
        """Return the figures of this frame, or none if it is skipped."""
        return {} if moment.index % self._every else self._measure(moment)

    def total(self) -> Figures:
        """Return nothing: every figure is a mean over frames."""
        return {}
