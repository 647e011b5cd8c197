"""From the name, folder or file of a model to a pipeline, complete and on its device."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging

from vsr.checkpoints.find import embedded_models, find_model, is_network
from vsr.checkpoints.index import INDEX, check_folder
from vsr.config import Dtype
from vsr.errors import ModelError
from vsr.models.blocks import channels_innermost
from vsr.models.image import ImageNetwork
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo
from vsr.pipelines.image import ImageUpscalePipeline
from vsr.pipelines.video import VideoUpscalePipeline
from vsr.runtime.device import choose_device, choose_dtype


def load(
    model: str | Path, *, device: str | torch.device = "auto", dtype: Dtype = "auto"
) -> VideoUpscalePipeline | ImageUpscalePipeline:
    """Returns the pipeline of a model: an embedded one by name, a model folder, or a network file.

    `device`: auto, cpu, cuda, cuda:N or mps. `dtype`: auto takes a fast number format that device
    and network compute in. Raises ModelError for a model that is missing, broken or refused,
    DeviceError for a device that is not there.
    """
    path, place = find_model(str(model)), choose_device(str(device))
    chosen = choose_dtype(dtype, place)
    if not is_network(path):
        return load_pipeline(path, torch_dtype=chosen, device=place)
    network = ImageNetwork.load(path)
    if dtype == "auto" and chosen not in network.dtypes:
        chosen = torch.float32
    return ImageUpscalePipeline(network.to(place, chosen))


def load_pipeline(
    folder: str | Path, *, torch_dtype: torch.dtype = torch.float32, device: torch.device | str
) -> VideoUpscalePipeline:
    """Returns the pipeline of a model folder, with every tensor on the device in the given type.

    `folder` is a path, or the name of a model folder that is embedded, as "compact".

    Raises ModelError for a folder that is incomplete, whose weights do not fit its config, or whose
    index names classes other than those of our models.
    """
    if not (Path(folder) / INDEX).is_file():
        folder = embedded_models().get(str(folder), folder)
    folder = Path(folder)
    check_folder(folder)
    try:
        with quiet_diffusers():
            networks = {
                "unet": load_network(UNetVideoModel, folder / "unet", torch_dtype=torch_dtype),
                "vae": load_network(AutoencoderKLVideo, folder / "vae", torch_dtype=torch_dtype),
            }
            pipe = VideoUpscalePipeline.from_pretrained(folder, **networks)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{folder} cannot be loaded: {_reason(error)}") from error
    for network in networks.values():
        channels_innermost(network)
    with quiet_diffusers():
        return pipe.to(device, torch_dtype)


def load_network(kind: Any, folder: Path, *, torch_dtype: torch.dtype | None = None) -> Any:
    """Returns the network of class `kind` in its own folder; raises ModelError unless all fits.

    Each tensor is converted as it is read, so that no second copy of the network exists; None keeps
    the type of the file.
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


@contextmanager
def quiet_diffusers() -> Generator[None]:
    """No progress bars and advice of diffusers on standard error: errors are raised anyway."""
    verbosity = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    try:
        yield
    finally:
        diffusers_logging.set_verbosity(verbosity)
        diffusers_logging.enable_progress_bar()


def _reason(error: Exception) -> str:
    """The message as one line, without the advice to diffusers' callers that may follow it."""
    return " ".join(str(error).split()).partition(" If you want to")[0]
