"""A model folder as a pipeline whose every tensor is where and as it must be."""

from pathlib import Path
from typing import Any

import torch

from vsr.errors import ModelError
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo
from vsr.pipeline import VideoUpscalePipeline


def load_pipeline(
    folder: str | Path, *, torch_dtype: torch.dtype = torch.float32, device: torch.device | str
) -> VideoUpscalePipeline:
    """The pipeline of a model folder, every tensor of which is where and as it must be.

    Raises ModelError for a folder that is incomplete, or whose weights do not fit its config.
    """
    folder = Path(folder)
    if not (folder / "model_index.json").is_file():
        raise ModelError(f"{folder} is not a model folder: it has no model_index.json")
    try:
        networks = {
            "unet": _load_network(UNetVideoModel, folder / "unet"),
            "vae": _load_network(AutoencoderKLVideo, folder / "vae"),
        }
        pipe = VideoUpscalePipeline.from_pretrained(folder, **networks)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{folder} cannot be loaded: {' '.join(str(error).split())}") from error
    for network in networks.values():
        _channels_innermost(network)
    return pipe.to(device, torch_dtype)


def _load_network(kind: Any, folder: Path) -> Any:
    try:
        network, report = kind.from_pretrained(folder, output_loading_info=True)
    except RuntimeError as error:
        raise ModelError(f"{folder}: {' '.join(str(error).split())}") from error
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[problem]:
            raise ModelError(f"{folder}: {problem.replace('_', ' ')}: {report[problem][0]}")
    return network.eval()


def _channels_innermost(network: torch.nn.Module) -> None:
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in network.parameters():
        if parameter.ndim in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])
