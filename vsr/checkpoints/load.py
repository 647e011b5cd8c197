"""From the name, folder or file of a model to a pipeline, complete and on its device."""

import re
from pathlib import Path

import torch

from vsr.checkpoints.fetch import HUB
from vsr.checkpoints.find import find_model, is_interpolation, is_network, models_by_name
from vsr.checkpoints.index import CLEAN, check_folder, is_seedvr_folder
from vsr.checkpoints.lora import merge_lora, read_lora
from vsr.config import NETWORK_SUFFIXES, Dtype, Storage
from vsr.errors import ConfigError, ModelError
from vsr.models.blocks import channels_innermost
from vsr.models.image import ImageNetwork
from vsr.models.load_network import load_network, quiet_diffusers, reason
from vsr.models.network_kind import is_recurrent
from vsr.models.other_weights import OtherWeights
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo
from vsr.option_values import parse_lora
from vsr.pipelines.image import ImageUpscalePipeline
from vsr.pipelines.interpolation import InterpolationPipeline
from vsr.pipelines.recurrent import RecurrentUpscalePipeline
from vsr.pipelines.seedvr.pipeline import SeedVRPipeline
from vsr.pipelines.video import VideoUpscalePipeline
from vsr.runtime.device import choose_device, choose_dtype

Pipeline = (
    VideoUpscalePipeline
    | ImageUpscalePipeline
    | RecurrentUpscalePipeline
    | InterpolationPipeline
    | SeedVRPipeline
)

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def load(
    model: str | Path,
    *,
    device: str | torch.device = "auto",
    dtype: Dtype = "auto",
    storage: Storage = "auto",
    lora: str | None = None,
) -> Pipeline:
    """Returns the pipeline of a model: an embedded or converted one by name, a path, or a hub id.

    A path is that of a model folder or a network file. A hub id is `OWNER/NAME`, if there is no
    such path, or `hf:OWNER/NAME`. `device`: auto, cpu, cuda, cuda:N or mps. `dtype`: auto takes a
    fast number format that device and network compute in. `storage`: "fp8" halves the memory of
    SeedVR's weights; ConfigError for other models. `lora`: FILE or FILE=WEIGHT of peft, merged into
    the model; ConfigError for a model without a diffusion network. Raises ModelError for a model or
    a LoRA that is missing, broken or refused, DeviceError for a device that is not there.

    "bicubic" and "lanczos" are interpolation without a network.
    """
    if lora is not None:
        if storage == "fp8":
            raise ConfigError("a LoRA is lost in weights of 8 bits: leave out storage or lora")
        pipeline = load(model, device=device, dtype=dtype, storage=storage)
        _add_lora(pipeline, lora, str(model))
        return pipeline
    if is_interpolation(str(model)):
        _check_storage(storage, model)
        return InterpolationPipeline(str(model))
    path, place = find_model(_with_hub(model)), choose_device(str(device))
    chosen = choose_dtype(dtype, place)
    if is_seedvr_folder(path):
        check_folder(path)
        return SeedVRPipeline.from_pretrained(path, dtype=chosen, device=place, storage=storage)
    _check_storage(storage, model)
    if not is_network(path):
        return load_pipeline(path, torch_dtype=chosen, device=place)
    if is_recurrent(path):
        return RecurrentUpscalePipeline.from_file(path, torch_dtype=chosen, device=place)
    network = ImageNetwork.load(path)
    if dtype == "auto" and chosen not in network.dtypes:
        chosen = torch.float32
    return ImageUpscalePipeline(network.to(place, chosen))


def _add_lora(pipeline: Pipeline, lora: str, model: str) -> None:
    path, weight = parse_lora(lora)
    if isinstance(pipeline, VideoUpscalePipeline):
        network = pipeline.unet
    elif isinstance(pipeline, SeedVRPipeline):
        network = pipeline.networks.transformer
    else:
        raise ConfigError(
            f"lora is for model folders with a diffusion network, and {model} has none"
        )
    merge_lora(network, read_lora(path), weight)


def load_pipeline(
    model: str | Path,
    *,
    torch_dtype: torch.dtype = torch.float32,
    device: torch.device | str = "auto",
) -> VideoUpscalePipeline:
    """Returns the pipeline of a model folder, with every tensor on the device in the given type.

    `model` is a path, a name or a hub id, as for `load`, but of a folder. Raises ModelError for a
    folder that is incomplete, whose weights do not fit its config, or whose index names classes
    other than those of our models.
    """
    name = _with_hub(model)
    is_name = name.startswith(HUB) or (name in models_by_name() and not Path(model).is_dir())
    folder = find_model(name) if is_name else Path(model)
    if is_network(folder):
        raise ModelError(f"{model} is not a model folder but one file, which vsr.load takes")
    check_folder(folder)
    if is_seedvr_folder(folder):
        raise ModelError(f"{model} is a SeedVRPipeline, which vsr.load takes")
    place = choose_device(str(device))
    try:
        with quiet_diffusers():
            networks = {
                "unet": load_network(UNetVideoModel, folder / "unet", torch_dtype=torch_dtype),
                "vae": load_network(AutoencoderKLVideo, folder / "vae", torch_dtype=torch_dtype),
            }
            pipe = VideoUpscalePipeline.from_pretrained(folder, **networks)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{folder} cannot be loaded: {reason(error)}") from error
    for network in networks.values():
        channels_innermost(network)
    with quiet_diffusers():
        pipe.to(place, torch_dtype)
    if (folder / CLEAN).is_file():
        pipe.clean_weights = OtherWeights.load(networks, folder / CLEAN)
    return pipe


def _check_storage(storage: Storage, model: str | Path) -> None:
    """Raise ConfigError for weights in 8 bits of a model that is not SeedVR."""
    if storage != "auto":
        raise ConfigError(f"storage = {storage} is for SeedVR, not for {model}: leave it out")


def _with_hub(model: str | Path) -> str:
    """`OWNER/NAME` as a name of the hub, if it cannot be a path: no such folder is here."""
    name = str(model)
    is_file = name.lower().endswith(NETWORK_SUFFIXES)
    may_be_path = isinstance(model, Path) or is_file or Path(name).parent.exists()
    return HUB + name if _HUB_ID.fullmatch(name) and not may_be_path else name
