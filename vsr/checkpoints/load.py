"""A model folder as a pipeline whose every tensor is where and as it must be."""

import json
from pathlib import Path
from typing import Any

import torch

from vsr.errors import ModelError
from vsr.models.blocks import channels_innermost
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo
from vsr.pipelines.video import VideoUpscalePipeline


def load_pipeline(
    folder: str | Path, *, torch_dtype: torch.dtype = torch.float32, device: torch.device | str
) -> VideoUpscalePipeline:
    """The pipeline of a model folder, every tensor of which is where and as it must be.

    Raises ModelError for a folder that is incomplete, or whose weights do not fit its config.
    """
    folder = Path(folder)
    if not (folder / "model_index.json").is_file():
        raise ModelError(f"{folder} is not a model folder: it has no model_index.json")
    _check_parts(folder)
    try:
        networks = {
            "unet": load_network(UNetVideoModel, folder / "unet", torch_dtype=torch_dtype),
            "vae": load_network(AutoencoderKLVideo, folder / "vae", torch_dtype=torch_dtype),
        }
        pipe = VideoUpscalePipeline.from_pretrained(folder, **networks)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{folder} cannot be loaded: {_reason(error)}") from error
    for network in networks.values():
        channels_innermost(network)
    return pipe.to(device, torch_dtype)


def _check_parts(folder: Path) -> None:
    file = folder / "model_index.json"
    try:
        index: dict[str, Any] = json.loads(file.read_text())
    except ValueError as error:
        raise ModelError(f"{file} is not JSON: {error}") from error
    for name, source in index.items():
        named = isinstance(source, list) and source != [None, None]
        if named and not (folder / name).is_dir():
            raise ModelError(f"{folder} has no folder {name}, which its model_index.json names")


def load_network(kind: Any, folder: Path, *, torch_dtype: torch.dtype | None = None) -> Any:
    """The network of class `kind` in a folder of its own; raises ModelError unless all fits.

    Each tensor takes its type as it is read, so that there is no copy of the network in another;
    None: the type of the file.
    """
    try:
        network, report = kind.from_pretrained(
            folder, torch_dtype=torch_dtype, output_loading_info=True
        )
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{folder}: {_reason(error)}") from error
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[problem]:
            raise ModelError(f"{folder}: {problem.replace('_', ' ')}: {report[problem][0]}")
    return network.eval()


def _reason(error: Exception) -> str:
    """The message as one line, without the advice to diffusers' callers that may follow it."""
    return " ".join(str(error).split()).partition(" If you want to")[0]
