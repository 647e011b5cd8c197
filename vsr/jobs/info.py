"""Descriptions of videos and models for people."""

from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path

from safetensors import safe_open

from vsr.checkpoints.cards import CARD, read_licence
from vsr.checkpoints.fetch import HUB
from vsr.checkpoints.find import embedded_models, find_model, is_network, models_by_name
from vsr.checkpoints.index import INDEX, read_object
from vsr.models.network_kind import is_recurrent
from vsr.video import probe as video

Row = tuple[str, str]


def describe(path: str, *, playlists: bool = False) -> str:
    """Return lines about the video file, image folder or model called `path`.

    `playlists` lets a playlist read the local files that it names.

    Raises InputError or ModelError where it is none of them.
    """
    rows = list(_rows(path, playlists=playlists))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _rows(path: str, *, playlists: bool) -> Iterable[Row]:
    place = Path(path) if Path(path).exists() else models_by_name().get(path, Path(path))
    if path.startswith(HUB):
        place = find_model(path)
    if is_network(place):
        return _recurrent_rows(place) if is_recurrent(place) else _network_rows(place)
    is_model = (place / INDEX).is_file()
    if is_model:
        return _model_rows(place)
    return video.describe(video.probe(place, playlists=playlists))


def _model_rows(folder: Path) -> Iterator[Row]:
    yield "path", str(folder)
    if licence := read_licence(folder / CARD):
        yield "licence", licence
    index = read_object(folder / INDEX)
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
            yield from _config_rows(folder / name / "config.json", name)


def _network_rows(path: Path) -> Iterator[Row]:
    from vsr.models.image import ImageNetwork  # at use: what is said of a video needs no torch

    network = ImageNetwork.load(path)
    yield from _file_rows(path)
    yield "architecture", network.architecture
    yield "purpose", f"{network.purpose}, of {'grey' if network.grey else 'RGB'} images"
    yield "scale", str(network.scale)
    megabytes = path.stat().st_size / 1e6
    yield "parameters", f"{network.parameters / 1e6:.2f} M, {megabytes:.1f} MB"
    yield "formats", " ".join(str(dtype).removeprefix("torch.") for dtype in network.dtypes)
    yield "sizes", str(network.sizes)
    yield "tiles", network.tiling


def _recurrent_rows(path: Path) -> Iterator[Row]:
    from vsr.models.basicvsr import BasicVsr  # at use, as above

    network = BasicVsr.load(path)
    count = sum(parameter.numel() for parameter in network.parameters())
    yield from _file_rows(path)
    yield "architecture", f"BasicVSR, {network.channels} channels; flow by DIS"
    yield "purpose", "SR, of RGB video"
    yield "scale", str(network.scale)
    yield "parameters", f"{count / 1e6:.2f} M, {path.stat().st_size / 1e6:.1f} MB"
    yield "tiles", "never"


def _file_rows(path: Path) -> Iterator[Row]:
    """The place of a network file, and its licence if it is embedded."""
    yield "path", str(path)
    if path in embedded_models().values() and (licence := read_licence(path.parent / CARD)):
        yield "licence", licence


def _config_rows(path: Path, name: str) -> Iterator[Row]:
    """The fields of a network's config; those of a text encoder say little here."""
    if name in ("unet", "transformer", "vae"):
        fields = read_object(path).items()
        yield from ((f"{name} {key}", str(value)) for key, value in fields if key[0] != "_")


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
