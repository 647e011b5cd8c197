"""From the options of a run to a loaded pipeline with its settings."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

from vsr.checkpoints.find import find_model, is_interpolation, is_network, is_picture_folder
from vsr.checkpoints.load import load
from vsr.config import NO_MODEL, UpscaleConfig
from vsr.errors import ConfigError
from vsr.models.flow_estimators import flow_estimator
from vsr.option_values import parse_reduction
from vsr.pipelines.keyframes import KeyframeTexture
from vsr.pipelines.presets import read_preset
from vsr.pipelines.recurrent import RecurrentUpscalePipeline
from vsr.pipelines.seedvr.pipeline import SeedVRPipeline
from vsr.propagation.keyframes import KeyframeConfig
from vsr.runtime.device import choose_device
from vsr.runtime.memory import keep_freed_memory
from vsr.runtime.timing import Timer
from vsr.upscaling.clip_upscaler import Upscaler, dtype_name
from vsr.upscaling.fallback import as_device_error
from vsr.upscaling.first_fallback import first_fallback
from vsr.upscaling.key_draws import PipelineDraws
from vsr.upscaling.same_size import SameSize
from vsr.upscaling.sizes import Size, uncropped_size
from vsr.video.key_pictures import KeyPictures

_log = logging.getLogger(__name__)


def load_upscaler(config: UpscaleConfig, size: Size, timer: Timer) -> Upscaler | SameSize:
    """Returns the model that `config` names, on the device that it names, with all choices made."""
    if config.model == NO_MODEL:
        return SameSize(size)
    model = None if is_interpolation(config.model) else find_model(config.model)
    device = choose_device(config.device)
    if device.type == "cpu":
        keep_freed_memory()
    if config.preset is not None:
        if model is None or is_network(model):
            raise ConfigError(f"presets are for model folders, not for {config.model}")
        read_preset(config.preset)  # an unknown one is named before minutes of loading
    with as_device_error(f"the model {config.model}"):
        pipeline = load(
            model or config.model,
            device=device,
            dtype=config.dtype,
            storage=config.storage,
            lora=config.lora,
        )
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
    name = config.model if model is None else model.name
    _log.info("%s on %s in %s", name, pipeline.device, dtype_name(pipeline.dtype))
    texture = load_texture(config, pipeline.scale)
    factor = parse_reduction(config.reduce)
    uncropped = None if config.seedvr_crop is None else partial(uncropped_size, config=config)
    upscaler = Upscaler(
        pipeline, settings, size, timer, texture=texture, factor=factor, uncropped=uncropped
    )
    if isinstance(pipeline, SeedVRPipeline):
        upscaler.fallback = first_fallback(pipeline.networks, size)
    return upscaler


def load_texture(config: UpscaleConfig, scale: int) -> KeyframeTexture | None:
    """Returns the texture that `config` names for frames `scale` times larger; None for none."""
    name = config.texture_model
    if name is None:
        return None
    device = choose_device(config.device)
    keys = KeyframeConfig(strength=config.texture_strength / 100, every=config.key_distance)
    if is_picture_folder(name):
        pictures = KeyPictures(Path(name))
        _log.info("texture from the pictures in %s", name)
        return KeyframeTexture(keys, scale, pictures=pictures, device=device)
    with as_device_error(f"the texture model {name}"):
        pipeline = load(name, device=device, dtype=config.dtype)
    overrides = {"prompt": config.texture_prompt, "num_inference_steps": config.texture_steps}
    settings = pipeline.configured({**overrides, "propagation_steps": ()})
    if pipeline.scale != scale:
        _log.info("key frames of %s are resized from %s to %s times", name, pipeline.scale, scale)
    _log.info("texture of key frames by %s, strength %g", name, config.texture_strength)
    draws = PipelineDraws(name, pipeline, settings)
    return KeyframeTexture(keys, scale, draws=draws, device=device)


def sampling_overrides(config: UpscaleConfig) -> dict[str, Any]:
    """Returns the options of a run that SamplingConfig has, by its names; None: not given."""
    return {
        "prompt": config.prompt,
        "negative_prompt": config.negative_prompt,
        "num_inference_steps": config.steps,
        "guidance_scale": config.guidance_scale,
        "noise_level": config.noise_level,
        "clean": True if config.clean == "on" else None,
        "propagation_steps": config.propagation,
        "seed": config.seed,
        "segment_length": config.segment_length,
        "tile": config.tile,
        "color": config.color,
        "guide": config.guide,
    }
