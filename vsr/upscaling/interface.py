"""The interface that the pipelines share, as the upscaler of clips uses them."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import UInt8, UInt16

from vsr.models.flow_estimators import FlowEstimator
from vsr.pipelines.memory import MemoryTraits
from vsr.pipelines.settings import SamplingConfig
from vsr.runtime.timing import Timer

Frames = UInt8[np.ndarray, "_ _ _ 3"] | UInt16[np.ndarray, "_ _ _ 3"]


class CarriedState(Protocol):
    """The state that a clip hands to the next one of its shot."""

    def to_bytes(self) -> bytes:
        """Returns it as bytes, for a file."""
        ...


class UpscaleOutput(Protocol):
    """The result of a pipeline's call."""

    frames: Any
    state: Any
    """A `CarriedState`, or None."""


class UpscalePipeline(Protocol):
    """The interface that the pipelines share."""

    settings: SamplingConfig
    flow_estimator: FlowEstimator | None
    look_ahead: int
    any_size: bool

    @property
    def scale(self) -> int:
        """The factor by which frames grow."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The number format of its networks."""
        ...

    @property
    def device(self) -> torch.device:
        """The device of its networks."""
        ...

    @property
    def memory_traits(self) -> MemoryTraits:
        """The ways in which it can use less memory."""
        ...

    def read_state(self, data: bytes, device: torch.device) -> CarriedState:
        """Returns the state of a clip whose `to_bytes` gave these bytes."""
        ...

    def to(self, dtype: torch.dtype, /) -> object:
        """Change the number format of its networks."""
        ...

    def offload_idle_networks(self, device: torch.device) -> None:
        """Let networks wait on the CPU while they are idle, and compute on `device`."""
        ...

    def work_by_rows(self) -> None:
        """Let maps pass through its networks in strips of rows."""
        ...

    def __call__(
        self,
        frames: Frames,
        *,
        first_frame: int | Sequence[int],
        state: Any,
        settings: SamplingConfig,
        timer: Timer,
    ) -> UpscaleOutput:
        """Returns the finished frames of a clip, and the state of the next one."""
        ...
