"""Find a model: a folder or file of the user's, or one embedded in the package."""

from pathlib import Path

from vsr.checkpoints.index import INDEX
from vsr.config import NATIVE_SCALE, NETWORK_SUFFIXES, nearest
from vsr.errors import ModelError

ASSETS = Path(__file__).parent.parent / "assets"


def find_model(name: str) -> Path:
    """Return the folder or the file of the model `name`: a path, or an embedded model's name."""
    place = Path(name)
    if (place / INDEX).is_file() or is_network(place):
        return place
    embedded = embedded_models()
    if name in embedded:
        return embedded[name]
    if place.is_dir():
        raise ModelError(f"{name} is not a model folder: it has no {INDEX}")
    raise ModelError(
        f"there is no model {name}{nearest(name, list(embedded)) or '.'} "
        f"Embedded: {', '.join(embedded)}; anything else is the path of a model folder, or of an "
        f"image network: a file that ends in {', '.join(NETWORK_SUFFIXES)}"
    )


def is_network(path: Path) -> bool:
    """Return True if `path` is a file that ends as image networks do."""
    return path.suffix.lower() in NETWORK_SUFFIXES and path.is_file()


def native_scale(name: str) -> int:
    """Return how many times larger the model `name` makes frames, as far as its files tell."""
    path = embedded_models().get(name, Path(name))
    if not is_network(path):
        return NATIVE_SCALE
    from vsr.checkpoints.network_scale import network_scale  # at use: it brings torch

    return network_scale(path)


def embedded_models() -> dict[str, Path]:
    """Return the models inside the package by name: folders, and image networks as files."""
    folders = {index.parent.name: index.parent for index in sorted(ASSETS.glob(f"*/{INDEX}"))}
    files = {file.stem: file for file in sorted(ASSETS.glob("*/*.safetensors"))}
    return folders | {name: file for name, file in files.items() if file.parent.name == name}
