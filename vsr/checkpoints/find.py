"""Find a model: a folder or file of the user's, an embedded or converted one, or one of the hub."""

import os
from pathlib import Path

from vsr.checkpoints.fetch import HUB, fetch
from vsr.checkpoints.index import CLEAN, INDEX, has_packed_latents, is_seedvr_folder
from vsr.config import INTERPOLATIONS, NATIVE_SCALE, NETWORK_SUFFIXES, NO_MODEL
from vsr.errors import ModelError
from vsr.models.network_kind import is_recurrent
from vsr.option_values import nearest
from vsr.pipelines.clip_length import (
    MOST_MODELS,
    PACKED_LATENTS,
    RECURRENT_LOOK_AHEAD,
    SEEDVR_LOOK_AHEAD,
    ClipMemory,
)

ASSETS = Path(__file__).parent.parent / "assets"


def find_model(name: str) -> Path:
    """Return the folder or the file of the model `name`.

    That is a path, the name of an embedded model or of one in the models folder, or
    `hf:OWNER/NAME` of the Hugging Face hub, which is fetched. Raises ModelError where there is
    none, with the nearest name.
    """
    place = Path(name)
    if _is_model(place):
        return place
    if name.startswith(HUB):
        return fetch(name)
    here = models_by_name()
    if name in here:
        return here[name]
    if place.is_dir():
        raise ModelError(f"{name} is not a model folder: it has no {INDEX}")
    own = f"; in the models folder: {', '.join(own_models())}" if own_models() else ""
    raise ModelError(
        f"there is no model {name}{nearest(name, list(here)) or '.'} "
        f"Embedded: {', '.join(embedded_models())}{own}; without a network: "
        f"{', '.join(INTERPOLATIONS)}; anything else is the path of a model "
        f"folder, of a network (a file that ends in {', '.join(NETWORK_SUFFIXES)}), or "
        f"{HUB}OWNER/NAME"
    )


def is_model_path(name: str) -> bool:
    """Return True for the path of a model folder or a network, which goes before other names."""
    return _is_model(Path(name))


def is_picture_folder(name: str | None) -> bool:
    """Return True for a folder that is no model: it holds pictures."""
    return name is not None and Path(name).is_dir() and not (Path(name) / INDEX).is_file()


def is_interpolation(name: str) -> bool:
    """Return True for bicubic and lanczos, unless a file or folder has that name."""
    return name in INTERPOLATIONS and not Path(name).exists()


def is_network(path: Path) -> bool:
    """Return True if `path` is a file that ends as networks do."""
    return path.suffix.lower() in NETWORK_SUFFIXES and path.is_file()


def native_scale(name: str) -> int:
    """Return how many times larger the model `name` makes frames, as far as its files tell."""
    if name == NO_MODEL:
        return 1
    path = _place(name)
    if not is_network(path) or is_recurrent(path):
        return NATIVE_SCALE
    from vsr.checkpoints.network_scale import network_scale  # at use: it brings torch

    return network_scale(path)


def makes_any_size(name: str) -> bool:
    """Return True for a model that computes at the size of the output: SeedVR."""
    return is_seedvr_folder(_place(name))


def knows_clean_frames(name: str) -> bool:
    """Return True for a model folder with weights for frames that lost nothing but size."""
    return (_place(name) / CLEAN).is_file()


def look_ahead(name: str) -> int:
    """Return the number of frames after a clip that the model `name` looks at."""
    path = _place(name)
    if is_seedvr_folder(path):
        return SEEDVR_LOOK_AHEAD
    return RECURRENT_LOOK_AHEAD if is_network(path) and is_recurrent(path) else 0


def clip_memory(name: str) -> ClipMemory:
    """Return the memory that clips take with the model `name`."""
    return PACKED_LATENTS if has_packed_latents(_place(name)) else MOST_MODELS


def models_by_name() -> dict[str, Path]:
    """Return all models that a name finds: the embedded ones first, then those made here."""
    return {**own_models(), **embedded_models()}


def embedded_models() -> dict[str, Path]:
    """Return the models inside the package by name: folders, and networks as files."""
    folders = {index.parent.name: index.parent for index in sorted(ASSETS.glob(f"*/{INDEX}"))}
    files = {file.stem: file for file in sorted(ASSETS.glob("*/*.safetensors"))}
    return folders | {name: file for name, file in files.items() if file.parent.name == name}


def models_folder() -> Path:
    """Return the folder for models with names: VSR_MODELS, or `vsr/models` of the user's data."""
    if chosen := os.environ.get("VSR_MODELS"):
        return Path(chosen)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "vsr" / "models"


def own_models() -> dict[str, Path]:
    """Return the models in the models folder by name: folders, and networks as files."""
    folder = models_folder()
    try:
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise ModelError(
            f"{folder} cannot be read: {error.strerror}; VSR_MODELS names another folder"
        ) from error
    return {
        entry.stem if is_network(entry) else entry.name: entry
        for entry in entries
        if _is_model(entry)
    }


def _is_model(path: Path) -> bool:
    return (path / INDEX).is_file() or is_network(path)


def _place(name: str) -> Path:
    """Return the path of a model; that of an unknown name is the name, and loading it says so."""
    place = Path(name)
    if _is_model(place):
        return place
    return fetch(name) if name.startswith(HUB) else models_by_name().get(name, place)
