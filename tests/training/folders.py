"""A small model folder of the published kind: autoencoder, DDIM, velocity, many steps."""

from pathlib import Path
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch.utils.data import Dataset

from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo
from vsr.pipelines.video import VideoUpscalePipeline

VAE: dict[str, Any] = {
    "block_out_channels": [8, 8, 8],
    "layers_per_block": 0,
    "norm_groups": 4,
    "mid_attention": False,
    "scaling_factor": 1.0,
}
UNET: dict[str, Any] = {
    "block_out_channels": [8],
    "layers_per_block": [1],
    "num_heads": [1],
    "attention": ["none"],
    "cross_attention_dim": None,
    "residual": [True],
    "temporal_attention": False,
    "temporal_resnet": False,
    "temporal_blocks": [True],
    "mid_temporal_block": False,
    "temporal_kernels": [3, 3],
    "norm_groups": 4,
    "num_class_embeds": 351,
}
NOISE: dict[str, Any] = {"beta_schedule": "scaled_linear", "beta_start": 1e-4, "beta_end": 0.02}


def save_folder(path: Path, **sampling: Any) -> Path:
    """Random networks of the published kind that sample in 4 steps."""
    torch.manual_seed(0)
    VideoUpscalePipeline(
        UNetVideoModel(**UNET),
        AutoencoderKLVideo(**VAE),
        DDIMScheduler(
            **NOISE, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False,
            steps_offset=1,
        ),
        DDPMScheduler(**NOISE),
        sampling={"num_inference_steps": 4, "noise_level": 20, **sampling},
    ).save_pretrained(path)  # fmt: skip
    return path


class OneSample(Dataset[dict[str, torch.Tensor]]):
    """The first sample of a set, again and again under new numbers or under one."""

    def __init__(self, samples: Any, number: int | None = None) -> None:
        self.sample, self.number = samples[0], number

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        number = index if self.number is None else self.number
        return {**self.sample, "index": torch.tensor(number)}
