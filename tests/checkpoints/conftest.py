"""Published folders, and one that is converted."""

from pathlib import Path

import pytest

from tests.checkpoints.published_folders import NARROW, upscale_a_video, write_content, x4_upscaler
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
    return x4_upscaler(tmp_path_factory.mktemp("upscaler"))
