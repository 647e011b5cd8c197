"""Published checkpoints as model folders: safetensors, our config, a card with the licence."""

import json
import logging
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from safetensors import SafetensorError

from vsr.checkpoints import key_maps
from vsr.checkpoints.cards import CARD, Origin
from vsr.checkpoints.find import models_folder
from vsr.checkpoints.index import INDEX, PIPELINES, read_object
from vsr.checkpoints.published import DDIM, NOISE, RAFT_WEIGHTS, TEXT_PARTS, WEIGHTS
from vsr.checkpoints.seedvr.convert import origin_of, write_folder
from vsr.checkpoints.seedvr.source import SeedVRKind, SeedVRSource, find_source, is_seedvr
from vsr.checkpoints.sources import (
    PublishedCheckpoint,
    PublishedNetwork,
    VaeKind,
    find_weights,
    recognise,
    required_weights,
)
from vsr.errors import ModelError, OutputError
from vsr.models.raft import RAFT_FILE, RaftFlow, torchvision_raft_keys
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo
from vsr.models.weight_files import read_state, write_state
from vsr.pipelines.video import VideoUpscalePipeline
from vsr.runtime.files import atomic_folder

_log = logging.getLogger(__name__)

_TEXT_FILES = ("*.json", "*.txt")


def convert(
    source: Path,
    target: Path | None = None,
    *,
    vae: VaeKind = "3d",
    upscaler: Path | None = None,
    kind: SeedVRKind | None = None,
    overwrite: bool = False,
) -> Path:
    """Make the model folder `target` from a published checkpoint, and return it.

    Without a target it is made in the models folder, where `--model` finds it by the model's name.
    `source` is an Upscale-A-Video folder, LaVie's `lavie_vsr.pt`, a diffusers folder of Stable
    Diffusion's x4 upscaler, or a file of SeedVR or SeedVR2 with its autoencoder beside it (or their
    folder). `kind`: "seedvr2" or "seedvr", where no file name tells. `vae`: one of
    Upscale-A-Video's two. `upscaler`: an x4-upscaler folder with the parts that `source` lacks. The
    folder appears under its name once it is complete.

    Raises ModelError for a source that is none of these or whose files contradict each other,
    OutputError for a target that cannot be made.
    """
    if is_seedvr(source):
        return _convert_seedvr(find_source(source, kind), target, overwrite=overwrite)
    if kind is not None:
        raise ModelError(f"--kind {kind} is for SeedVR, and {source} is not of it")
    checkpoint = recognise(source, vae, upscaler)
    target = target or _named_target(checkpoint.origin)
    with _new_folder(target, overwrite=overwrite) as folder:
        unet = _write_network(UNetVideoModel, checkpoint.unet, folder / "unet")
        autoencoder = _write_network(AutoencoderKLVideo, checkpoint.vae, folder / "vae")
        _write_pipeline(checkpoint, unet, autoencoder, folder)
        _write_text(checkpoint.folders, folder)
        _write_flow(checkpoint.folders, folder)
        (folder / CARD).write_text(checkpoint.origin.card(source.name))
    return target


def _convert_seedvr(source: SeedVRSource, target: Path | None, *, overwrite: bool) -> Path:
    origin = origin_of(source)
    target = target or _named_target(origin)
    with _new_folder(target, overwrite=overwrite) as folder:
        write_folder(source, folder)
        (folder / CARD).write_text(origin.card(source.transformer.path.name))
    return target


def _named_target(origin: Origin) -> Path:
    """The folder of a model in the models folder."""
    target = models_folder() / origin.name
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _write_network(kind: Any, part: PublishedNetwork, folder: Path) -> Any:
    """Write config and weights of a network; return it without weights."""
    network = _without_weights(kind, part)
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    where = str(part.weights)
    state = key_maps.without_wrapper(read_state(part.weights, under=part.under))
    state = key_maps.fitted(part.adapt(state, shapes, where), shapes, where=where)
    folder.mkdir()
    network.save_config(folder)
    write_state(state, folder / f"{WEIGHTS}.safetensors")
    return network


def _without_weights(kind: Any, part: PublishedNetwork) -> Any:
    try:
        with torch.device("meta"):
            return kind(**part.fields)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise ModelError(f"the config of {part.weights} gives no network: {error}") from error


def _write_pipeline(checkpoint: PublishedCheckpoint, unet: Any, vae: Any, folder: Path) -> None:
    """Write the schedulers and the index."""
    scheduler = _scheduler(DDIMScheduler, checkpoint.folders, "scheduler", DDIM)
    low_res = _scheduler(DDPMScheduler, checkpoint.folders, "low_res_scheduler", NOISE)
    sampling = {"prediction": scheduler.config["prediction_type"], **checkpoint.origin.sampling}
    pipe = VideoUpscalePipeline(unet, vae, scheduler, low_res, sampling=sampling)
    scheduler.save_pretrained(folder / "scheduler")
    low_res.save_pretrained(folder / "low_res_scheduler")
    pipe.save_config(folder)


def _scheduler(kind: Any, folders: Sequence[Path], name: str, published: Mapping[str, Any]) -> Any:
    """A scheduler of that kind with the noise schedule of the first folder that has one."""
    file = _first(folders, f"{name}/scheduler_config.json")
    if file is None:
        _log.info("no %s/scheduler_config.json: using that of the x4 upscaler", name)
        return kind(**published)
    config = {key: value for key, value in read_object(file).items() if not key.startswith("_")}
    try:
        return kind.from_config(config)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ModelError(f"{file} is no config of a {kind.__name__}: {error}") from error


def _write_text(folders: Sequence[Path], target: Path) -> None:
    """Copy text encoder and tokenizer from the first folder that has them, and index them."""
    encoder = _first(folders, "text_encoder")
    if encoder is None:
        _log.warning("no text encoder found: the model will need embeddings of its prompts")
        return
    home = encoder.parent
    if not (home / "tokenizer").is_dir():
        raise ModelError(f"{home} has a text_encoder and no tokenizer: one is no use alone")
    for part in TEXT_PARTS:
        (target / part).mkdir()
        for pattern in _TEXT_FILES:
            for file in (home / part).glob(pattern):
                if not file.name.endswith(".index.json"):
                    shutil.copyfile(file, target / part / file.name)
    weights = find_weights(encoder, "model") or required_weights(encoder, "pytorch_model")
    write_state(read_state(weights), target / "text_encoder/model.safetensors")
    index = read_object(target / INDEX)
    index.update({part: ["transformers", kind] for part, kind in TEXT_PARTS.items()})
    (target / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def _write_flow(folders: Sequence[Path], target: Path) -> None:
    """Copy the weights of RAFT from the first folder that has them."""
    file = _first(folders, RAFT_WEIGHTS)
    if file is None:
        return
    RaftFlow(file)  # refuses weights that do not fit
    (target / RAFT_FILE).parent.mkdir()
    write_state(torchvision_raft_keys(read_state(file)), target / RAFT_FILE)


def _first(folders: Sequence[Path], name: str) -> Path | None:
    """The file or folder of that name in the first of the folders that has it."""
    return next((folder / name for folder in folders if (folder / name).exists()), None)


@contextmanager
def _new_folder(target: Path, *, overwrite: bool) -> Generator[Path]:
    """A folder that is renamed to `target` if the context succeeds, and removed otherwise."""
    if target.exists():
        _check_replaceable(target, overwrite=overwrite)
    try:
        with atomic_folder(target) as partial:
            yield partial
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{target} cannot be written: {error}") from error


def _check_replaceable(target: Path, *, overwrite: bool) -> None:
    if not overwrite:
        raise OutputError(f"{target} exists; --overwrite replaces it")
    index = target / INDEX
    if not index.is_file() or read_object(index).get("_class_name") not in PIPELINES:
        raise OutputError(f"{target} is not a model folder of vsr, so it is not replaced")
