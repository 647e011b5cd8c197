"""Finding a model: a folder of the user's, or one that is embedded in the package."""

from pathlib import Path

from vsr.config import nearest
from vsr.errors import ModelError

ASSETS = Path(__file__).parent.parent / "assets"
_INDEX = "model_index.json"


def find_model(name: str) -> Path:
    """Return the folder of the model `name`: a path, or the name of an embedded model."""
    folder = Path(name)
    if (folder / _INDEX).is_file():
        return folder
    embedded = embedded_models()
    if name in embedded:
        return embedded[name]
    names = ", ".join(embedded) or "none"
    if folder.is_dir():
        raise ModelError(f"{name} is not a model folder: it has no {_INDEX}")
    raise ModelError(
        f"there is no model {name}{nearest(name, list(embedded))} "
        f"Embedded: {names}; anything else is the path of a model folder"
    )


def embedded_models() -> dict[str, Path]:
    """Return the models inside the package by name."""
    return {index.parent.name: index.parent for index in sorted(ASSETS.glob(f"*/{_INDEX}"))}
