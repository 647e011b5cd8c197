"""The networks of a training run as a model folder."""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)

from vsr.checkpoints.index import CLEAN
from vsr.checkpoints.load import load_pipeline
from vsr.checkpoints.lora import Lora, merge_lora, write_lora
from vsr.errors import ConfigError
from vsr.models.load_network import load_network
from vsr.models.other_weights import save_other_weights
from vsr.models.seedvr.nadit import NaDiT
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo
from vsr.pipelines.video import VideoUpscalePipeline
from vsr.training.config import LoraConfig, NoiseConfig, TrainConfig
from vsr.training.config_file import build_train_config
from vsr.training.engine.adapters import adapters_of
from vsr.training.engine.checkpoint import BEST, Checkpoint, find_checkpoint, load_checkpoint
from vsr.training.recipes.distill import student_pipeline, teacher_folder
from vsr.training.recipes.networks import (
    load_weights,
    model_folder_of,
    named_path,
    trained_networks,
)
from vsr.training.recipes.seedvr import seedvr_folder
from vsr.training.recipes.temporal import fresh_pipeline

logger = logging.getLogger(__name__)

ONE_STEP_SAMPLING: Mapping[str, Any] = {
    "prediction": "residual",
    "start": "low_res",
    "num_inference_steps": 1,
    "guidance_scale": 1.0,
    "noise_level": 0,
    "prompt_suffix": "",
    "negative_prompt": "",
    "segment_length": 17,
    "segment_stride": 15,
    "propagation_steps": [0],
    "propagation": {
        "beta": 0.25,
        "alpha1": 0.01,
        "alpha2": 0.5,
        "mode": "bilinear",
        "padding": "border",
    },
    "restore_detail": True,
    "color": "wavelet",
}
"""Sampling settings of an exported `compact` model, besides its `start_strength`."""


def export(
    run: Path, target: Path, *, best: bool = False, merge: bool = False, clean: bool = False
) -> Path:
    """Write the model folder of a run, or its LoRA; returns the checkpoint that was used.

    The averaged weights of the newest checkpoint (or of the best one) are written as float16
    safetensors; networks that the run did not train come from the model folder that it started
    from. Of a LoRA run, only the LoRA is written, in peft's format, unless `merge` asks for the
    whole model. With `clean`, the target is a model folder, which gets the weights of the run that
    differ from its own for frames that lost nothing but size. Other files in the target, such as a
    model card, are kept. Raises `InputError` for a run without a checkpoint, `ConfigError` if the
    recipe needs a model folder as `init` and has none, or does not fit these arguments.
    """
    folder = find_checkpoint(run / "checkpoints" / BEST if best else run)
    checkpoint = load_checkpoint(folder)
    config = build_train_config(checkpoint.config)
    if clean and config.recipe != "compact":
        raise ConfigError(f"--clean is for runs of the recipe compact; {run} is of {config.recipe}")
    if config.lora is not None and not merge:
        write_lora(_adapters(checkpoint, config.lora, run), target)
        return folder
    if merge and config.lora is None:
        raise ConfigError(f"{run} trained no LoRA, so there is nothing to merge: leave out --merge")
    if config.recipe == "seedvr":
        _export_seedvr(checkpoint, config, target, run=run)
        return folder
    unet, vae = trained_networks(checkpoint, folder)
    if clean:
        _export_clean(unet, vae, target)
        return folder
    trained_pipeline(config, unet.half(), vae.half()).save_pretrained(target)
    return folder


def _export_clean(unet: UNetVideoModel, vae: AutoencoderKLVideo, target: Path) -> None:
    """Write what differs from the networks of the folder into its file for clean frames."""
    own = load_pipeline(target, device="cpu")
    others = {"unet": unet, "vae": vae}
    count = save_other_weights({"unet": own.unet, "vae": own.vae}, others, target / CLEAN)
    logger.info("%d weights differ", count)


def _adapters(checkpoint: Checkpoint, config: LoraConfig, run: Path) -> Lora:
    """The adapters of the one network that has them."""
    weights = checkpoint.result
    parts = sorted({name.partition(".")[0] for name in weights})
    if len(parts) != 1:
        raise ConfigError(f"the LoRA of {run} changes {' and '.join(parts)}: give --merge")
    return adapters_of(weights, parts[0], config, str(run))


def _export_seedvr(checkpoint: Checkpoint, config: TrainConfig, target: Path, *, run: Path) -> None:
    """Write the folder that the run began with, with the trained transformer."""
    source = seedvr_folder(config)
    transformer = load_network(NaDiT, source / "transformer", torch_dtype=torch.float32)
    weights = checkpoint.result
    if config.lora is not None:
        merge_lora(transformer, adapters_of(weights, "transformer", config.lora, str(source)))
    else:
        own = {name.removeprefix("transformer."): weight for name, weight in weights.items()}
        load_weights(transformer, own, run)
    shutil.copytree(
        source, target, ignore=shutil.ignore_patterns("transformer"), dirs_exist_ok=True
    )
    transformer.half().save_pretrained(target / "transformer")


def trained_pipeline(
    config: TrainConfig, unet: UNetVideoModel, vae: AutoencoderKLVideo
) -> VideoUpscalePipeline:
    """The pipeline that samples as the recipe of `config` trains."""
    if config.recipe == "compact":
        return one_step_pipeline(unet, vae, config.noise)
    if config.recipe == "distill":
        teacher = load_pipeline(teacher_folder(config), device="cpu")
        return student_pipeline(teacher, unet, vae, steps=config.distill.steps)
    if config.recipe == "temporal" and config.init is None:
        return fresh_pipeline(config, unet, vae)
    if config.init is None:
        raise ConfigError("init is null; schedulers and settings come from a model folder there")
    pipe = load_pipeline(model_folder_of(named_path(config.init)), device="cpu")
    parts: dict[str, Any] = pipe.components | {"unet": unet, "vae": vae}
    return VideoUpscalePipeline(**parts, sampling=asdict(pipe.settings))


def one_step_pipeline(
    unet: UNetVideoModel, vae: AutoencoderKLVideo, noise: NoiseConfig
) -> VideoUpscalePipeline:
    """The pipeline of the compact recipe, which takes one step from the enlarged small frames."""
    return VideoUpscalePipeline(
        unet,
        vae,
        FlowMatchEulerDiscreteScheduler(),
        DDPMScheduler(
            num_train_timesteps=noise.levels,
            beta_start=noise.beta_start,
            beta_end=noise.beta_end,
            beta_schedule="scaled_linear",
        ),
        sampling={**ONE_STEP_SAMPLING, "start_strength": noise.kappa},
    )
