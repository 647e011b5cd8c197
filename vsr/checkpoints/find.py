"""Find a model: a folder or file of the user's, or one embedded in the package."""

from pathlib import Path

from vsr.config import NATIVE_SCALE, NETWORK_SUFFIXES, nearest
from vsr.errors import ModelError

ASSETS = Path(__file__).parent.parent / "assets"
_INDEX = "model_index.json"


def find_model(name: str) -> Path:
    """Return the folder or the file of the model `name`: a path, or an embedded model's name."""
    folder = Path(name)
    if (folder / _INDEX).is_file() or is_network(folder):
        return folder
    embedded = embedded_models()
    if name in embedded:
        return embedded[name]
    names = ", ".join(embedded) or "none"
    if folder.is_dir():
        raise ModelError(f"{name} is not a model folder: it has no {_INDEX}")
    raise ModelError(
        f"there is no model {name}{nearest(name, list(embedded)) or '.'} "
        f"Embedded: {names}; anything else is the path of a model folder, or of an image network: "
        f"a file that ends in {', '.join(NETWORK_SUFFIXES)}"
    )


def is_network(path: Path) -> bool:
    """Return True if `path` is a file that ends as image networks do."""
    return path.suffix.lower() in NETWORK_SUFFIXES and path.is_file()


def native_scale(name: str) -> int:
    """Return how many times larger the model `name` makes frames, as far as a path tells it."""
    if not is_network(Path(name)):
        return NATIVE_SCALE
    from vsr.checkpoints.network_scale import network_scale  # at use: it brings torch

    return network_scale(Path(name))


def embedded_models() -> dict[str, Path]:
    """Return the models inside the package by name."""
    return {index.parent.name: index.parent for index in sorted(ASSETS.glob(f"*/{_INDEX}"))}
