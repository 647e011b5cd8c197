"""Published folders, and one that is converted."""

from pathlib import Path

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

from tests.checkpoints.published_folders import DDIM, NARROW, NOISE, upscale_a_video, write_content
from tests.parity import published_config, published_state
from vsr.checkpoints.convert import convert


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Upscale-A-Video folder of the narrow networks: the file names and keys of the real one."""
    folder = tmp_path_factory.mktemp("published")
    unet = {f"module.{key}": value for key, value in published_state("unet_small").items()}
    write_content(folder / "unet/unet_video.bin", unet)
    write_content(folder / "unet/unet_video_config.json", published_config("unet_video") | NARROW)
    for kind, extra in (("vae_3d", {}), ("vae_video", {"condition_channels": 32})):
        config = published_config(kind) | {"block_out_channels": [32, 64, 64]} | extra
        write_content(folder / f"vae/{kind}_config.json", config)
        write_content(folder / f"vae/{kind}.bin", published_state(f"{kind}_small"))
    return folder


@pytest.fixture(scope="module")
def converted(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(published, tmp_path_factory.mktemp("converted") / "model")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The smallest folder of the kind, to be broken by a test."""
    return upscale_a_video(tmp_path / "small")


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of Stable Diffusion's x4 upscaler as diffusers saves it, with few channels."""
    folder = tmp_path_factory.mktemp("upscaler")
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
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=32,
    ).save_pretrained(folder / "vae")
    DDIMScheduler(**DDIM | {"beta_end": 0.015}).save_pretrained(folder / "scheduler")
    DDPMScheduler(**NOISE).save_pretrained(folder / "low_res_scheduler")
    return folder
