"""From the options of a run to a loaded pipeline with its settings."""

import logging
from typing import Any

from vsr.checkpoints.find import find_model, is_network
from vsr.checkpoints.load import load
from vsr.config import UpscaleConfig
from vsr.errors import ConfigError
from vsr.models.flow_estimators import flow_estimator
from vsr.pipelines.presets import read_preset
from vsr.pipelines.recurrent import RecurrentUpscalePipeline
from vsr.runtime.device import choose_device
from vsr.runtime.memory import keep_freed_memory
from vsr.runtime.timing import Timer
from vsr.upscaling.clip_upscaler import Upscaler, dtype_name
from vsr.upscaling.fallback import as_device_error
from vsr.upscaling.sizes import Size

_log = logging.getLogger(__name__)


def load_upscaler(config: UpscaleConfig, size: Size, timer: Timer) -> Upscaler:
    """Returns the model that `config` names, on the device that it names, with all choices made."""
    model = find_model(config.model)
    device = choose_device(config.device)
    if device.type == "cpu":
        keep_freed_memory()
    if config.preset is not None:
        if is_network(model):
            raise ConfigError(f"presets are for model folders, not for the file {model}")
        read_preset(config.preset)  # an unknown one is named before minutes of loading
    with as_device_error(f"the model {model.name}"):
        pipeline = load(model, device=device, dtype=config.dtype)
    pipeline.set_attention_backend(config.attention)
    settings = pipeline.configured(sampling_overrides(config), preset=config.preset)
    is_recurrent = isinstance(pipeline, RecurrentUpscalePipeline)
    if settings.propagation_steps or is_recurrent:
        pipeline.flow_estimator = flow_estimator(
            config.flow,
            weights=config.flow_weights,
            folder=model,
            device=device,
            fine=is_recurrent,
        )
    _log.info("%s on %s in %s", model.name, device, dtype_name(pipeline.dtype))
    return Upscaler(pipeline, settings, size, timer)


def sampling_overrides(config: UpscaleConfig) -> dict[str, Any]:
    """Returns the options of a run that SamplingConfig has, by its names; None: not given."""
    return {
        "prompt": config.prompt,
        "negative_prompt": config.negative_prompt,
        "num_inference_steps": config.steps,
        "guidance_scale": config.guidance_scale,
        "noise_level": config.noise_level,
        "propagation_steps": config.propagation,
        "seed": config.seed,
        "segment_length": config.segment_length,
        "tile": config.tile,
        "color": config.color,
    }
