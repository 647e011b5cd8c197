"""What is in a video or a model folder, for people."""

import json
from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path

from safetensors import safe_open

from vsr.errors import ModelError
from vsr.jobs.model_folder import embedded_models, find_model
from vsr.video import probe as video

Row = tuple[str, str]


def describe(path: str) -> str:
    """Return lines about the video file, image folder or model called `path`.

    Raises InputError or ModelError where it is none of them.
    """
    rows = list(_rows(path))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _rows(path: str) -> Iterable[Row]:
    place = Path(path)
    is_model = (place / "model_index.json").is_file() or path in embedded_models()
    return _model_rows(find_model(path)) if is_model else video.describe(video.probe(place))


def _model_rows(folder: Path) -> Iterator[Row]:
    yield "path", str(folder)
    index = _read_json(folder / "model_index.json")
    yield "pipeline", str(index.get("_class_name"))
    for name, home in index.items():
        if name.startswith("_"):
            continue
        if isinstance(home, dict):
            yield from ((f"{name} {key}", str(value)) for key, value in home.items())
        elif not isinstance(home, list):
            yield name.replace("_", " "), str(home)
        elif home[1]:
            yield name.replace("_", " "), f"{home[1]}{_weights(folder / name)}"


def _weights(folder: Path) -> str:
    """The number and format of the parameters in a folder, without reading them."""
    files = sorted(folder.glob("*.safetensors"))
    count, dtypes = 0, set[str]()
    for file in files:
        with safe_open(file, framework="numpy") as tensors:
            for key in tensors.keys():  # noqa: SIM118  (not a mapping)
                entry = tensors.get_slice(key)
                count += prod(entry.get_shape())
                dtypes.add(entry.get_dtype())
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    if not files:
        return ""
    return f", {count / 1e6:.2f} M parameters in {' '.join(sorted(dtypes))}, {megabytes:.1f} MB"


def _read_json(path: Path) -> dict[str, object]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is not readable JSON: {error}") from error
