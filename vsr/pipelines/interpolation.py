"""InterpolationPipeline: frames enlarged without a network, as a base for carried detail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8, UInt16
from torch import Tensor

from vsr.config import INTERPOLATIONS, NATIVE_SCALE
from vsr.errors import ConfigError
from vsr.models.flow_estimators import FlowEstimator
from vsr.ops.frame_formats import LargeFrames, as_low_res, checked_output_type, collect
from vsr.ops.interpolate import interpolated
from vsr.pipelines.image import IMAGE_SAMPLING
from vsr.pipelines.memory import MemoryTraits
from vsr.pipelines.settings import SamplingConfig, given, only_useful
from vsr.pipelines.streaming import StreamingPipeline
from vsr.propagation.propagator import PropagationState
from vsr.runtime.timing import NullTimer, Timer


@dataclass(slots=True)
class InterpolationOutput:
    """A finished clip; it hands nothing to the next one."""

    frames: LargeFrames
    state: PropagationState | None = None


class InterpolationPipeline(StreamingPipeline):
    """Enlarges frames four times by "bicubic" or "lanczos" interpolation, frame by frame."""

    scale = NATIVE_SCALE
    """The factor by which frames grow."""
    device = torch.device("cpu")
    dtype = torch.float32
    memory_traits = MemoryTraits(smallest_tile=None, dtypes=(torch.float32,))

    def __init__(self, name: str) -> None:
        allowed = ", ".join(INTERPOLATIONS)
        if name not in INTERPOLATIONS:
            raise ConfigError(f"unknown interpolation {name}; it can be {allowed}")
        self.name = name
        self.settings = replace(IMAGE_SAMPLING, propagation_steps=(), color="none")
        self.flow_estimator: FlowEstimator | None = None

    def __call__(
        self,
        frames: UInt8[np.ndarray, "t h w 3"]
        | UInt16[np.ndarray, "t h w 3"]
        | Float[Tensor, "1 3 t h w"],
        *,
        first_frame: int | Sequence[int] = 0,
        state: PropagationState | None = None,
        settings: SamplingConfig | None = None,
        output_type: str = "np",
        timer: Timer | None = None,
        **overrides: Any,
    ) -> InterpolationOutput:
        """Returns the frames of a clip, four times larger.

        Takes what the other pipelines take; `first_frame`, `state` and `settings` change nothing.
        Raises ConfigError for overrides, since there is nothing to choose.
        """
        self.configured(overrides)
        small = as_low_res(frames)
        with (timer or NullTimer())("interpolate"):
            groups = (self._enlarged(frame) for frame in small.unbind(dim=2))
            return InterpolationOutput(
                collect(groups, checked_output_type(output_type), like=frames)
            )

    def configured(
        self,
        overrides: Mapping[str, Any],
        *,
        preset: str | None = None,
        base: SamplingConfig | None = None,
    ) -> SamplingConfig:
        """Returns the settings; raises ConfigError for any choice but the seed."""
        chosen = given({**overrides, "preset": preset})
        only_useful(chosen, self.settings, used=("seed",), who=self.name)
        return self.settings if base is None else base

    def to(self, dtype: torch.dtype, /) -> "InterpolationPipeline":
        """Change nothing: it computes in float32."""
        return self

    def set_attention_backend(self, backend: str) -> None:
        """Change nothing: nothing attends."""

    def offload_idle_networks(self, device: torch.device) -> None:
        """Change nothing: there are no networks."""

    def _enlarged(self, frame: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 1 h4 w4"]:
        h, w = frame.shape[-2:]
        image = frame[0].permute(1, 2, 0).numpy()
        size = (self.scale * w, self.scale * h)
        large = interpolated(image, size, self.name)
        return torch.from_numpy(large).permute(2, 0, 1)[None, :, None].clamp(-1, 1)
