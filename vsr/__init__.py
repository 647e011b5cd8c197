"""Video super-resolution by latent diffusion. Public names load on first use."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vsr.checkpoints.load import load, load_pipeline
    from vsr.config import UpscaleConfig
    from vsr.errors import (
        ConfigError,
        DependencyError,
        DeviceError,
        InputError,
        ModelError,
        OutputError,
        VsrError,
    )
    from vsr.jobs.upscale import upscale
    from vsr.models.unet import UNetVideoModel
    from vsr.models.vae import AutoencoderKLVideo
    from vsr.pipelines.image import ImageUpscalePipeline
    from vsr.pipelines.recurrent import RecurrentUpscalePipeline
    from vsr.pipelines.seedvr.pipeline import SeedVRPipeline
    from vsr.pipelines.video import VideoUpscalePipeline
    from vsr.upscaling.stream import UpscaleStream
    from vsr.video.probe import probe

__version__ = "0.1.0"

__all__ = [
    "AutoencoderKLVideo",
    "ConfigError",
    "DependencyError",
    "DeviceError",
    "ImageUpscalePipeline",
    "InputError",
    "ModelError",
    "OutputError",
    "RecurrentUpscalePipeline",
    "SeedVRPipeline",
    "UNetVideoModel",
    "UpscaleConfig",
    "UpscaleStream",
    "VideoUpscalePipeline",
    "VsrError",
    "__version__",
    "load",
    "load_pipeline",
    "probe",
    "upscale",
]

_HOMES = {
    "AutoencoderKLVideo": "vsr.models.vae",
    "ConfigError": "vsr.errors",
    "DependencyError": "vsr.errors",
    "DeviceError": "vsr.errors",
    "ImageUpscalePipeline": "vsr.pipelines.image",
    "InputError": "vsr.errors",
    "ModelError": "vsr.errors",
    "OutputError": "vsr.errors",
    "RecurrentUpscalePipeline": "vsr.pipelines.recurrent",
    "SeedVRPipeline": "vsr.pipelines.seedvr.pipeline",
    "UNetVideoModel": "vsr.models.unet",
    "UpscaleConfig": "vsr.config",
    "UpscaleStream": "vsr.upscaling.stream",
    "VideoUpscalePipeline": "vsr.pipelines.video",
    "VsrError": "vsr.errors",
    "load": "vsr.checkpoints.load",
    "load_pipeline": "vsr.checkpoints.load",
    "probe": "vsr.video.probe",
    "upscale": "vsr.jobs.upscale",
}


def __getattr__(name: str) -> object:
    """Import the module that holds the public name `name`, and return the object."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'vsr' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
