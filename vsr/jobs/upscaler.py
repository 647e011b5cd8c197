"""A model with the choices of a run made: clips go in, finished frames come out."""

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from diffusers.utils import logging as diffusers_logging
from jaxtyping import UInt8, UInt16

from vsr.config import Color, Dtype, UpscaleConfig
from vsr.errors import ConfigError
from vsr.image_pipeline import ImageUpscalePipeline
from vsr.jobs.device import choose_device, choose_dtype
from vsr.jobs.model_folder import find_model, is_network
from vsr.jobs.target import Size
from vsr.loading import load_pipeline
from vsr.memory import keep_freed_memory
from vsr.models.flow import FlowEstimator, flow_estimator, raft_weights
from vsr.models.image import ImageNetwork
from vsr.ops.resize import reduce_frames
from vsr.presets import read_preset
from vsr.propagation import PropagationState
from vsr.timing import Timer
from vsr.video.clips import Clip

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UpscaledClip:
    """The finished frames of a clip, and when each is shown."""

    pixels: UInt8[np.ndarray, "t h w 3"] | UInt16[np.ndarray, "t h w 3"]
    pts: tuple[int, ...]


class _Settings(Protocol):
    @property
    def propagation_steps(self) -> tuple[int, ...]: ...


class _Output(Protocol):
    frames: Any
    state: PropagationState | None


class UpscalePipeline(Protocol):
    """What the job asks of a pipeline: VideoUpscalePipeline and ImageUpscalePipeline have it."""

    flow_estimator: FlowEstimator | None

    @property
    def settings(self) -> _Settings:
        """What the model does by itself."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The number format of its networks."""
        ...

    def set_attention_backend(self, backend: str) -> None:
        """Let another library compute attention."""
        ...

    def __call__(
        self,
        frames: UInt8[np.ndarray, "t h w 3"] | UInt16[np.ndarray, "t h w 3"],
        *,
        prompt: str | None,
        negative_prompt: str | None,
        num_inference_steps: int | None,
        guidance_scale: float | None,
        noise_level: int | None,
        propagation_steps: Sequence[int] | None,
        seed: int,
        first_frame: int,
        state: PropagationState | None,
        segment_length: int | None,
        tile: int | None,
        color: Color | None,
        timer: Timer | None,
    ) -> _Output:
        """The finished frames of a clip, and what the next one begins with."""
        ...


@dataclass(slots=True)
class Upscaler:
    """The pipeline with its choices made, and what it carries from clip to clip of a shot."""

    pipeline: UpscalePipeline
    config: UpscaleConfig
    size: Size
    timer: Timer
    _state: PropagationState | None = None

    @classmethod
    def load(cls, config: UpscaleConfig, size: Size, timer: Timer) -> Self:
        """Load the model that `config` names onto the device that it names."""
        model = find_model(config.model)
        device = choose_device(config.device)
        if device.type == "cpu":
            keep_freed_memory()
        preset = {} if config.preset is None else read_preset(config.preset)
        pipeline = _load(model, config.dtype, device, preset)
        pipeline.set_attention_backend(config.attention)
        if _propagates(pipeline, config):
            pipeline.flow_estimator = flow_estimator(
                config.flow, weights=config.flow_weights or raft_weights(model), device=device
            )
        dtype = str(pipeline.dtype).removeprefix("torch.")
        _log.info("%s on %s in %s", model.name, device, dtype)
        return cls(pipeline, config, size, timer)

    def __call__(self, clip: Clip) -> UpscaledClip:
        """Return the frames of `clip` at the size of the output; clips come in their order."""
        config = self.config
        result = self.pipeline(
            np.stack([frame.pixels for frame in clip.frames]),
            prompt=config.prompt,
            negative_prompt=config.negative_prompt,
            num_inference_steps=config.steps,
            guidance_scale=config.guidance_scale,
            noise_level=config.noise_level,
            propagation_steps=config.propagation,
            seed=config.seed,
            first_frame=clip.first_frame_index,
            state=None if clip.starts_shot else self._state,
            segment_length=config.segment_length,
            tile=config.tile,
            color=config.color,
            timer=self.timer,
        )
        self._state = result.state
        assert isinstance(result.frames, np.ndarray)
        with self.timer("reduce"):
            pixels = reduce_frames(result.frames, self.size.height, self.size.width)
        return UpscaledClip(pixels, tuple(frame.pts for frame in clip.frames))


def _load(
    model: Path, dtype: Dtype, device: torch.device, preset: Mapping[str, Any]
) -> UpscalePipeline:
    chosen = choose_dtype(dtype, device)
    if is_network(model):
        if preset:
            raise ConfigError(
                f"presets are for model folders, and {model} is one file: leave it out"
            )
        network = ImageNetwork.load(model)
        if dtype == "auto" and chosen not in network.dtypes:
            chosen = torch.float32
        return ImageUpscalePipeline(network.to(device, chosen))
    with _quiet_diffusers():
        pipeline = load_pipeline(model, torch_dtype=chosen, device=device)
    pipeline.settings = pipeline.settings.overridden(preset)
    return pipeline


@contextmanager
def _quiet_diffusers() -> Generator[None]:
    """No bars and advice of diffusers on standard error: what goes wrong is raised."""
    verbosity = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    try:
        yield
    finally:
        diffusers_logging.set_verbosity(verbosity)
        diffusers_logging.enable_progress_bar()


def _propagates(pipeline: UpscalePipeline, config: UpscaleConfig) -> bool:
    own = pipeline.settings.propagation_steps
    return bool(own if config.propagation is None else config.propagation)
