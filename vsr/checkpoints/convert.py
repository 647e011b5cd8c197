"""Published checkpoints as model folders: safetensors, our config, a card that says whose."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from safetensors import SafetensorError

from vsr.checkpoints import key_maps
from vsr.checkpoints.cards import LAVIE, UPSCALE_A_VIDEO, X4_UPSCALER, Origin
from vsr.checkpoints.key_maps import Shapes, State
from vsr.checkpoints.published import UPSCALER_SCALING_FACTOR, Fields, unet_fields, vae_fields
from vsr.errors import ModelError, OutputError
from vsr.models.raft import RAFT_FILE, RaftFlow, torchvision_raft_keys
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo
from vsr.models.weight_files import read_state, write_state
from vsr.pipelines.video import VideoUpscalePipeline

_log = logging.getLogger(__name__)

VaeKind = Literal["3d", "video"]
Refit = Callable[[State, Shapes, str], State]
"""From a state, the shapes that it must have in the end and the name of its file to a new state."""

_INDEX = "model_index.json"
_WEIGHTS = "diffusion_pytorch_model"
_RAFT = "propagator/raft-things.pth"
_TEXT_PARTS = {"text_encoder": "CLIPTextModel", "tokenizer": "CLIPTokenizer"}
_TEXT_FILES = ("*.json", "*.txt")

# Those of Stable Diffusion's x4 upscaler, for folders that come without schedulers.
_NOISE: Fields = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 1e-4,
    "beta_end": 0.02,
}
_DDIM: Fields = _NOISE | {
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


@dataclass(frozen=True, slots=True)
class _Part:
    """A network of a checkpoint: its config in our fields, its weights, and how these fit."""

    fields: Fields
    weights: Path
    refit: Refit
    under: str | None = None


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    origin: Origin
    unet: _Part
    vae: _Part
    homes: Sequence[Path]
    """Where the other parts are looked for, one folder after the other."""


def convert(
    source: Path,
    target: Path,
    *,
    vae: VaeKind = "3d",
    upscaler: Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Make the model folder `target` from a published checkpoint, and return it.

    `source` is an Upscale-A-Video folder, LaVie's `lavie_vsr.pt`, or a diffusers folder of Stable
    Diffusion's x4 upscaler. `vae`: which of Upscale-A-Video's two. `upscaler`: an x4-upscaler
    folder that has what `source` lacks. The folder appears under its name when it is complete.

    Raises ModelError for a source that is none of these or does not hold together, OutputError for
    a target that cannot be made.
    """
    checkpoint = _recognise(source, vae, upscaler)
    with _new_folder(target, overwrite=overwrite) as folder:
        unet = _write_network(UNetVideoModel, checkpoint.unet, folder / "unet")
        autoencoder = _write_network(AutoencoderKLVideo, checkpoint.vae, folder / "vae")
        _write_pipeline(checkpoint, unet, autoencoder, folder)
        _write_flow(checkpoint.homes, folder)
        (folder / "README.md").write_text(checkpoint.origin.card(source.name))
    return target


def _recognise(source: Path, vae: VaeKind, upscaler: Path | None) -> _Checkpoint:
    if upscaler is not None and not _is_x4(upscaler):
        raise ModelError(f"{upscaler} is no x4-upscaler folder: it has no unet/config.json")
    if (source / "unet/unet_video_config.json").is_file() or (
        _weights(source / "unet", "unet_video") is not None
    ):
        return _upscale_a_video(source, vae, upscaler)
    if vae != "3d":
        raise ModelError(f"--vae {vae} is for Upscale-A-Video folders, and {source} is none")
    if source.is_file():
        return _lavie(source, upscaler)
    if _is_x4(source):
        return _x4_upscaler(source)
    if not source.exists():
        raise ModelError(f"there is no {source}")
    raise ModelError(
        f"{source} is no checkpoint that is known: looked for unet/unet_video.bin "
        "(Upscale-A-Video), unet/config.json (Stable Diffusion's x4 upscaler), or a file in its "
        "place (lavie_vsr.pt)"
    )


def _upscale_a_video(source: Path, vae: VaeKind, upscaler: Path | None) -> _Checkpoint:
    config = source / "unet/unet_video_config.json"
    unet = _Part(
        unet_fields({**_index_levels(source), **_json(config)}, where=str(config)),
        _required_weights(source / "unet", "unet_video"),
        _video_unet_state,
    )
    stem = f"vae_{vae}"
    config = source / f"vae/{stem}_config.json"
    autoencoder = _Part(
        vae_fields(_json(config), where=str(config)),
        _required_weights(source / "vae", stem),
        _vae_state,
    )
    homes = [source] if upscaler is None else [source, upscaler]
    return _Checkpoint(UPSCALE_A_VIDEO, unet, autoencoder, homes)


def _lavie(source: Path, upscaler: Path | None) -> _Checkpoint:
    if upscaler is None:
        raise ModelError(
            f"{source} is one file: give --upscaler, a folder of Stable Diffusion's x4 upscaler, "
            "which has the VAE and the text encoder that go with it"
        )
    unet = _Part(_x4_unet_fields(upscaler), source, _lavie_unet_state, under="ema")
    return _Checkpoint(LAVIE, unet, _x4_vae(upscaler), [upscaler])


def _x4_upscaler(source: Path) -> _Checkpoint:
    fields = _x4_unet_fields(source) | {"norm": "frame"}
    unet = _Part(fields, _required_weights(source / "unet", _WEIGHTS), _inflated_unet_state)
    return _Checkpoint(X4_UPSCALER, unet, _x4_vae(source), [source])


def _x4_unet_fields(folder: Path) -> Fields:
    config = folder / "unet/config.json"
    return unet_fields({**_index_levels(folder), **_json(config)}, where=str(config))


def _index_levels(folder: Path) -> Fields:
    """The highest noise level, where the folder's index says it."""
    index = folder / _INDEX
    level = _json(index).get("max_noise_level") if index.is_file() else None
    return {} if level is None else {"max_noise_level": level}


def _x4_vae(folder: Path) -> _Part:
    """The upscaler's VAE as diffusers uses it: frame by frame, always with the same scale."""
    config = folder / "vae/config.json"
    fields = vae_fields(_json(config), where=str(config)) | {
        "norm": "frame",
        "scaling_factor": UPSCALER_SCALING_FACTOR,
    }
    return _Part(fields, _required_weights(folder / "vae", _WEIGHTS), _vae_state)


def _video_unet_state(state: State, shapes: Shapes, where: str) -> State:
    return key_maps.with_one_rotary(state, where=where)


def _lavie_unet_state(state: State, shapes: Shapes, where: str) -> State:
    return key_maps.with_one_rotary(key_maps.from_lavie(state), where=where)


def _inflated_unet_state(state: State, shapes: Shapes, where: str) -> State:
    return key_maps.inflated(state, shapes)


def _vae_state(state: State, shapes: Shapes, where: str) -> State:
    return key_maps.with_new_attention_names(state)


def _write_network(kind: Any, part: _Part, folder: Path) -> Any:
    """Write config and weights of a network; return it without weights."""
    try:
        with torch.device("meta"):
            network = kind(**part.fields)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise ModelError(f"the config of {part.weights} gives no network: {error}") from error
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    where = str(part.weights)
    state = key_maps.without_wrapper(read_state(part.weights, under=part.under))
    state = key_maps.fitted(part.refit(state, shapes, where), shapes, where=where)
    folder.mkdir()
    network.save_config(folder)
    write_state(state, folder / f"{_WEIGHTS}.safetensors")
    return network


def _write_pipeline(checkpoint: _Checkpoint, unet: Any, vae: Any, folder: Path) -> None:
    """Write schedulers, text parts and the index."""
    scheduler = _scheduler(DDIMScheduler, checkpoint.homes, "scheduler", _DDIM)
    low_res = _scheduler(DDPMScheduler, checkpoint.homes, "low_res_scheduler", _NOISE)
    sampling = {"prediction": scheduler.config["prediction_type"], **checkpoint.origin.sampling}
    pipe = VideoUpscalePipeline(unet, vae, scheduler, low_res, sampling=sampling)
    scheduler.save_pretrained(folder / "scheduler")
    low_res.save_pretrained(folder / "low_res_scheduler")
    pipe.save_config(folder)
    if _write_text(checkpoint.homes, folder):
        index = _json(folder / _INDEX)
        index.update({part: ["transformers", kind] for part, kind in _TEXT_PARTS.items()})
        (folder / _INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
    else:
        _log.warning("no text encoder found: the model will need embeddings of its prompts")


def _scheduler(kind: Any, homes: Sequence[Path], name: str, published: Fields) -> Any:
    """The noise schedule of the first folder that has one, as a scheduler of that kind."""
    files = [home / name / "scheduler_config.json" for home in homes]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        _log.info("no %s/scheduler_config.json: that of the x4 upscaler is taken", name)
        return kind(**published)
    config = {key: value for key, value in _json(file).items() if not key.startswith("_")}
    try:
        return kind.from_config(config)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ModelError(f"{file} is no config of a {kind.__name__}: {error}") from error


def _write_text(homes: Sequence[Path], folder: Path) -> bool:
    """Copy text encoder and tokenizer from the first folder that has them; False if none has."""
    home = next((home for home in homes if (home / "text_encoder").is_dir()), None)
    if home is None:
        return False
    if not (home / "tokenizer").is_dir():
        raise ModelError(f"{home} has a text_encoder and no tokenizer: one is no use alone")
    for part in _TEXT_PARTS:
        (folder / part).mkdir()
        for pattern in _TEXT_FILES:
            for file in (home / part).glob(pattern):
                if not file.name.endswith(".index.json"):
                    shutil.copyfile(file, folder / part / file.name)
    encoder = home / "text_encoder"
    weights = _weights(encoder, "model") or _required_weights(encoder, "pytorch_model")
    write_state(read_state(weights), folder / "text_encoder/model.safetensors")
    return True


def _write_flow(homes: Sequence[Path], folder: Path) -> None:
    file = next((home / _RAFT for home in homes if (home / _RAFT).is_file()), None)
    if file is None:
        return
    RaftFlow(file)  # refuses what does not fit
    (folder / RAFT_FILE).parent.mkdir()
    write_state(torchvision_raft_keys(read_state(file)), folder / RAFT_FILE)


@contextmanager
def _new_folder(target: Path, *, overwrite: bool) -> Generator[Path]:
    """A folder that gets the name `target` when the context ends well, and vanishes otherwise."""
    if target.exists():
        if not overwrite:
            raise OutputError(f"{target} exists; --overwrite replaces it")
        index = target / _INDEX
        if not index.is_file() or _json(index).get("_class_name") != VideoUpscalePipeline.__name__:
            raise OutputError(f"{target} is not a model folder of vsr, and so is not replaced")
    partial, former = (
        target.with_name(f".{target.name}.{os.getpid()}.{word}") for word in ("part", "old")
    )
    try:
        partial.mkdir()
        yield partial
        if target.exists():
            target.rename(former)
        try:
            partial.rename(target)
        except OSError:
            former.rename(target)
            raise
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{target} cannot be written: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


def _is_x4(folder: Path) -> bool:
    return (folder / "unet/config.json").is_file()


def _weights(folder: Path, stem: str) -> Path | None:
    files = [folder / f"{stem}{suffix}" for suffix in (".safetensors", ".bin", ".pt", ".pth")]
    return next((file for file in files if file.is_file()), None)


def _required_weights(folder: Path, stem: str) -> Path:
    file = _weights(folder, stem)
    if file is None:
        raise ModelError(f"{folder} has no {stem}.safetensors and no {stem}.bin")
    return file


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, not an object")
    return content
