"""The networks of a training run as a model folder."""

from pathlib import Path

from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)

from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo
from vsr.pipeline import VideoUpscalePipeline
from vsr.training.checkpoint import BEST, find_checkpoint, load_checkpoint
from vsr.training.compact import OneStepModel
from vsr.training.config import NoiseConfig, build_train_config
from vsr.training.networks import build_networks


def export(run: Path, target: Path, *, best: bool = False) -> Path:
    """Write the model folder of a run of the compact recipe; returns the checkpoint it took.

    The averaged weights of the newest checkpoint (or of the best one) go out as float16
    safetensors; what else the folder holds, such as its card, is left alone. Raises `InputError`
    for a run without a checkpoint.
    """
    folder = find_checkpoint(run / "checkpoints" / BEST if best else run)
    checkpoint = load_checkpoint(folder)
    config = build_train_config(checkpoint.config)
    model = OneStepModel(*build_networks(config.model), kappa=config.noise.kappa)
    model.load_state_dict({**checkpoint.model, **checkpoint.ema})
    model.half()
    one_step_pipeline(model.unet, model.vae, config.noise).save_pretrained(target)
    return folder


def one_step_pipeline(
    unet: UNetVideoModel, vae: AutoencoderKLVideo, noise: NoiseConfig
) -> VideoUpscalePipeline:
    """The pipeline that samples as the compact recipe trains: one step from the enlarged frames."""
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
        sampling={
            "prediction": "residual",
            "start": "low_res",
            "start_strength": noise.kappa,
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
        },
    )
