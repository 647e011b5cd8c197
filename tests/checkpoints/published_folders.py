"""Folders of published weights with few channels."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

from tests.parity import published_config

NARROW = {
    "block_out_channels": [32, 64, 64, 128],
    "attention_head_dim": 2,
    "cross_attention_dim": 64,
}
NOISE = {"beta_schedule": "scaled_linear", "beta_start": 1e-4, "beta_end": 0.02}
DDIM = NOISE | {
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def upscale_a_video(folder: Path) -> Path:
    from vsr.models.unet import UNetVideoModel
    from vsr.models.vae import AutoencoderKLVideo

    unet = published_config("unet_video")
    unet |= {
        "block_out_channels": [32, 32],
        "attention_head_dim": 1,
        "cross_attention_dim": 8,
        "only_cross_attention": [True, False],
        "down_block_types": ["DownBlock3D", "CrossAttnDownBlock3D"],
        "up_block_types": ["CrossAttnUpBlock3D", "UpBlock3D"],
        "layers_per_block": 1,
        "down_temporal_idx": [1],
        "up_temporal_idx": [0],
    }
    network = UNetVideoModel(
        block_out_channels=(32, 32),
        layers_per_block=(1, 1),
        num_heads=(1, 1),
        attention=("none", "full"),
        cross_attention_dim=8,
        residual=(True, True),
        temporal_blocks=(False, True),
    )
    vae = published_config("vae_3d")
    vae |= {
        "block_out_channels": [32],
        "layers_per_block": 1,
        "down_block_types": ["DownEncoderBlock3D"],
        "up_block_types": ["UpDecoderBlock3D"],
    }
    autoencoder = AutoencoderKLVideo(block_out_channels=(32,), layers_per_block=1)
    write_content(folder / "unet/unet_video_config.json", unet)
    write_content(folder / "unet/unet_video.bin", network.state_dict())
    write_content(folder / "vae/vae_3d_config.json", vae)
    write_content(folder / "vae/vae_3d.bin", autoencoder.state_dict())
    return folder


def write_content(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps(content))
    else:
        torch.save(dict(content), path)


def change_content(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    json_file = path.suffix == ".json"
    content = json.loads(path.read_text()) if json_file else torch.load(path, weights_only=True)
    change(content)
    write_content(path, content)


def x4_upscaler(folder: Path, vae_channels: tuple[int, ...] = (32, 64)) -> Path:
    """A folder of Stable Diffusion's x4 upscaler as diffusers saves it, with few channels."""
    torch.manual_seed(0)
    UNet2DConditionModel(
        in_channels=7,
        out_channels=4,
        block_out_channels=(32, 64, 64, 128),
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
        up_block_types=(*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"),
        only_cross_attention=[True, True, True, False],
        attention_head_dim=2,
        cross_attention_dim=64,
        use_linear_projection=True,
        num_class_embeds=1000,
    ).save_pretrained(folder / "unet")
    AutoencoderKL(
        block_out_channels=vae_channels,
        down_block_types=("DownEncoderBlock2D",) * len(vae_channels),
        up_block_types=("UpDecoderBlock2D",) * len(vae_channels),
        layers_per_block=1,
        norm_num_groups=32,
    ).save_pretrained(folder / "vae")
    DDIMScheduler(**DDIM | {"beta_end": 0.015}).save_pretrained(folder / "scheduler")
    DDPMScheduler(**NOISE).save_pretrained(folder / "low_res_scheduler")
    return folder
