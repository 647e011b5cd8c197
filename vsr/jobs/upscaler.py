"""A model with the choices of a run made: clips go in, finished frames come out."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np
from diffusers.utils import logging as diffusers_logging
from jaxtyping import UInt8

from vsr.config import UpscaleConfig
from vsr.jobs.device import choose_device, choose_dtype
from vsr.jobs.model_folder import find_model
from vsr.jobs.target import Size
from vsr.loading import load_pipeline
from vsr.memory import keep_freed_memory
from vsr.models.flow import flow_estimator
from vsr.ops.resize import reduce_frames
from vsr.pipeline import VideoUpscalePipeline
from vsr.propagation import PropagationState
from vsr.timing import Timer
from vsr.video.clips import Clip

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UpscaledClip:
    """The finished frames of a clip, and when each is shown."""

    pixels: UInt8[np.ndarray, "t h w 3"]
    pts: tuple[int, ...]


@dataclass(slots=True)
class Upscaler:
    """The pipeline with its choices made, and what it carries from clip to clip of a shot."""

    pipeline: VideoUpscalePipeline
    config: UpscaleConfig
    size: Size
    timer: Timer
    _state: PropagationState | None = None

    @classmethod
    def load(cls, config: UpscaleConfig, size: Size, timer: Timer) -> Self:
        """Load the model that `config` names onto the device that it names."""
        folder = find_model(config.model)
        device = choose_device(config.device)
        if device.type == "cpu":
            keep_freed_memory()
        dtype = choose_dtype(config.dtype, device)
        with _quiet_diffusers():
            pipeline = load_pipeline(folder, torch_dtype=dtype, device=device)
        pipeline.set_attention_backend(config.attention)
        if _propagates(pipeline, config):
            pipeline.flow_estimator = flow_estimator(
                config.flow, weights=config.flow_weights, device=device
            )
        _log.info("%s on %s in %s", folder.name, device, str(dtype).removeprefix("torch."))
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


def _propagates(pipeline: VideoUpscalePipeline, config: UpscaleConfig) -> bool:
    own = pipeline.settings.propagation_steps
    return bool(own if config.propagation is None else config.propagation)
