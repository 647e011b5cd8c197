"""Published checkpoints: recognised by their files, described part by part for the converter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vsr.checkpoints import key_maps
from vsr.checkpoints.cards import LAVIE, UPSCALE_A_VIDEO, X4_UPSCALER, Origin
from vsr.checkpoints.config_fields import Fields, unet_fields, vae_fields
from vsr.checkpoints.index import INDEX, read_object
from vsr.checkpoints.key_maps import Shapes, State
from vsr.checkpoints.published import UPSCALER_SCALING_FACTOR, WEIGHTS
from vsr.errors import ModelError

VaeKind = Literal["3d", "video"]
Adapt = Callable[[State, Shapes, str], State]
"""Takes a published state, the shapes of our network and the file's name to our state."""


@dataclass(frozen=True, slots=True)
class PublishedNetwork:
    """A network of a checkpoint: its config in our fields, its weights, and their adaption."""

    fields: Fields
    weights: Path
    adapt: Adapt
    under: str | None = None
    """The entry of the file that holds the weights; None: the file itself."""


@dataclass(frozen=True, slots=True)
class PublishedCheckpoint:
    """A published model, as the converter takes it."""

    origin: Origin
    unet: PublishedNetwork
    vae: PublishedNetwork
    folders: Sequence[Path]
    """Folders that may hold the other parts; the first one that has a part wins."""


def recognise(source: Path, vae: VaeKind, upscaler: Path | None) -> PublishedCheckpoint:
    """Returns the checkpoint at `source`; see `convert`. Raises ModelError if it is not known."""
    if upscaler is not None and not _is_x4(upscaler):
        raise ModelError(f"{upscaler} is no x4-upscaler folder: it has no unet/config.json")
    if (source / "unet/unet_video_config.json").is_file() or (
        find_weights(source / "unet", "unet_video") is not None
    ):
        return _upscale_a_video(source, vae, upscaler)
    if vae != "3d":
        raise ModelError(f"--vae {vae} is for Upscale-A-Video folders, and {source} is not one")
    if source.is_file():
        return _lavie(source, upscaler)
    if _is_x4(source):
        return _x4_upscaler(source)
    if not source.exists():
        raise ModelError(f"there is no {source}")
    raise ModelError(
        f"{source} is not a known checkpoint: it has neither unet/unet_video.bin "
        "(Upscale-A-Video) nor unet/config.json (Stable Diffusion's x4 upscaler), and is not a "
        "file (lavie_vsr.pt)"
    )


def _upscale_a_video(source: Path, vae: VaeKind, upscaler: Path | None) -> PublishedCheckpoint:
    config = source / "unet/unet_video_config.json"
    unet = PublishedNetwork(
        unet_fields({**_index_levels(source), **read_object(config)}, where=str(config)),
        required_weights(source / "unet", "unet_video"),
        _video_unet_state,
    )
    stem = f"vae_{vae}"
    config = source / f"vae/{stem}_config.json"
    autoencoder = PublishedNetwork(
        vae_fields(read_object(config), where=str(config)),
        required_weights(source / "vae", stem),
        _vae_state,
    )
    folders = [source] if upscaler is None else [source, upscaler]
    return PublishedCheckpoint(UPSCALE_A_VIDEO, unet, autoencoder, folders)


def _lavie(source: Path, upscaler: Path | None) -> PublishedCheckpoint:
    if upscaler is None:
        raise ModelError(
            f"{source} is one file: give --upscaler, a folder of Stable Diffusion's x4 upscaler, "
            "which has the VAE and the text encoder that go with it"
        )
    unet = PublishedNetwork(_x4_unet_fields(upscaler), source, _lavie_unet_state, under="ema")
    return PublishedCheckpoint(LAVIE, unet, _x4_vae(upscaler), [upscaler])


def _x4_upscaler(source: Path) -> PublishedCheckpoint:
    fields = _x4_unet_fields(source) | {"norm": "frame"}
    unet = PublishedNetwork(
        fields, required_weights(source / "unet", WEIGHTS), _inflated_unet_state
    )
    return PublishedCheckpoint(X4_UPSCALER, unet, _x4_vae(source), [source])


def _x4_unet_fields(folder: Path) -> Fields:
    config = folder / "unet/config.json"
    return unet_fields({**_index_levels(folder), **read_object(config)}, where=str(config))


def _index_levels(folder: Path) -> Fields:
    """The highest noise level, if the folder's index has it."""
    index = folder / INDEX
    level = read_object(index).get("max_noise_level") if index.is_file() else None
    return {} if level is None else {"max_noise_level": level}


def _x4_vae(folder: Path) -> PublishedNetwork:
    """The upscaler's VAE as diffusers uses it: frame by frame, always with the same scale."""
    config = folder / "vae/config.json"
    fields = vae_fields(read_object(config), where=str(config)) | {
        "norm": "frame",
        "scaling_factor": UPSCALER_SCALING_FACTOR,
    }
    return PublishedNetwork(fields, required_weights(folder / "vae", WEIGHTS), _vae_state)


def _video_unet_state(state: State, shapes: Shapes, where: str) -> State:
    return key_maps.with_one_rotary(state, where=where)


def _lavie_unet_state(state: State, shapes: Shapes, where: str) -> State:
    return key_maps.with_one_rotary(key_maps.from_lavie(state), where=where)


def _inflated_unet_state(state: State, shapes: Shapes, where: str) -> State:
    return key_maps.inflated(state, shapes)


def _vae_state(state: State, shapes: Shapes, where: str) -> State:
    return key_maps.with_new_attention_names(state)


def _is_x4(folder: Path) -> bool:
    return (folder / "unet/config.json").is_file()


def find_weights(folder: Path, stem: str) -> Path | None:
    """Returns the file of weights called `stem` in a folder, if it has one."""
    files = [folder / f"{stem}{suffix}" for suffix in (".safetensors", ".bin", ".pt", ".pth")]
    return next((file for file in files if file.is_file()), None)


def required_weights(folder: Path, stem: str) -> Path:
    """Returns the file of weights called `stem` in a folder. Raises ModelError if there is none."""
    file = find_weights(folder, stem)
    if file is None:
        raise ModelError(f"{folder} has no {stem}.safetensors and no {stem}.bin")
    return file
