"""The models that have names: use, licence, size and place, and their cost on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vsr.checkpoints.cards import (
    CARD,
    LAVIE,
    SEEDVR,
    SEEDVR2,
    UPSCALE_A_VIDEO,
    X4_UPSCALER,
    read_licence,
)
from vsr.checkpoints.costs import Cost, Machine
from vsr.checkpoints.fetch import fetched_models
from vsr.checkpoints.find import embedded_models, own_models
from vsr.errors import ModelError
from vsr.option_values import nearest
from vsr.pipelines.clip_length import PACKED_LATENTS

Place = Literal["embedded", "converted", "added", "fetched", "known"]
PLACES: Mapping[Place, str] = {
    "embedded": "embedded",
    "converted": "converted, in the models folder",
    "added": "a file in the models folder",
    "fetched": "fetched from the hub",
    "known": "known, not here: its weights are to be downloaded and converted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """The use of a model, its cost, and a sample command."""

    use: str
    cost: Cost
    command: str = ""
    """Makes the model, where it is not embedded; empty: there is nothing to make."""
    options: str = ""
    """Options that a run with it should have."""
    hub: str = ""
    """Its name on the hub, for `--model`."""
    gigabytes: float | None = None
    """Size of what is fetched from there; None: told when it is fetched."""


def _published(evaluations: float) -> Cost:
    """The cost of the 691 M U-Net with so many evaluations a frame, without its autoencoder.

    4.81 TFLOP are 16 evaluations of 45x60 pixels (tools/image_ratio.py); memory was measured on a
    GPU with 16 frames of 320x180.
    """
    return Cost(convolutions=1510 * evaluations, rest=2.0e9, per_pixel=7.8e3)


def _seedvr(evaluations: float) -> Cost:
    """The cost of the 3B network with so many evaluations a frame, and of its autoencoder.

    Counted, not measured, for 1280x720: 30.6 TFLOP a frame in the autoencoder and 5.6 in each
    evaluation of 17 frames; the frames that the autoencoder carries take 11.6 GB.
    """
    return Cost(convolutions=7200 + 1320 * evaluations, rest=8.5e9, per_pixel=21e3)


TRAITS: Mapping[str, Traits] = {
    "compact": Traits(
        use="any source, steady from frame to frame, on a CPU too",
        cost=Cost(convolutions=58.8, rest=0.83e9, packed=PACKED_LATENTS),
    ),
    "basicvsr-reds4": Traits(
        use="clean sources: renders, screen captures, good discs",
        cost=Cost(convolutions=159, rest=0.83e9, per_pixel=0.8e3),
    ),
    "realesr-animevideov3": Traits(
        use="animation: drawn lines and flat colours",
        cost=Cost(convolutions=16.8, rest=0.81e9, per_pixel=0.64e3),
    ),
    "realesr-general-x4v3": Traits(
        use="any source, quickly",
        cost=Cost(convolutions=32.8, rest=0.81e9, per_pixel=0.75e3),
    ),
    "realesrgan-x4plus": Traits(
        use="photographs and filmed material: the crispest texture",
        cost=Cost(convolutions=486, rest=0.87e9, per_pixel=1.3e3),
    ),
    "upscale-a-video": Traits(
        use="the published diffusion network, with text",
        cost=_published(80),
        command="vsr convert UPSCALE_A_VIDEO_FOLDER",
        options=" --preset upscale-a-video",
    ),
    "lavie-vsr": Traits(
        use="generated clips: LaVie's diffusion network, with text",
        cost=_published(133),
        command="vsr convert lavie_vsr.pt --upscaler SD_X4_FOLDER",
        hub="hf:Vchitect/LaVie",
    ),
    "sd-x4-upscaler": Traits(
        use="Stable Diffusion's image upscaler, made steady, with text",
        cost=_published(200),
        command="vsr convert SD_X4_FOLDER",
        hub="hf:stabilityai/stable-diffusion-x4-upscaler",
        gigabytes=3.5,
    ),
    "seedvr2": Traits(
        use="any source, one step: the strongest open weights; a GPU",
        cost=_seedvr(1),
        command="vsr convert SEEDVR2_FOLDER",
        hub="hf:numz/SeedVR2_comfyUI/seedvr2_ema_3b_fp16.safetensors",
        gigabytes=7.3,
    ),
    "seedvr": Traits(
        use="any source, 50 steps: the network before SeedVR2; a GPU",
        cost=_seedvr(100),
        command="vsr convert SEEDVR_FOLDER",
        hub="hf:ByteDance-Seed/SeedVR-3B",
    ),
}
_ORIGINS = (UPSCALE_A_VIDEO, LAVIE, X4_UPSCALER, SEEDVR2, SEEDVR)
_LICENCES = {origin.name: origin.licence for origin in _ORIGINS}
_UNKNOWN_USE = "a model of yours"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """A model of the catalog."""

    name: str
    use: str
    licence: str
    place: Place
    path: Path | None
    """The folder or file; None for one that is not here."""
    megabytes: float | None
    """Size of its weights; None for those that are not here."""
    speed: str
    memory: str
    command: str
    fetch: str = ""
    """The option that fetches it, and how much; empty: it is here, or not on the hub."""

    def __str__(self) -> str:
        size = "" if self.megabytes is None else f", {self.megabytes:.1f} MB"
        rows = {
            "use": self.use,
            "licence": self.licence,
            "where": PLACES[self.place] + size,
            "speed": self.speed,
            "memory": self.memory,
            "try": self.command,
        }
        if self.fetch:
            rows["fetch"] = self.fetch
        return "\n".join([self.name, *(f"  {key:<8} {value}" for key, value in rows.items())])


def catalog(name: str | None = None, *, machine: Machine) -> tuple[CatalogEntry, ...]:
    """Returns the models that have names, or the one called `name`, with their cost on `machine`.

    Raises ModelError for an unknown name, with the nearest one.
    """
    places = _places()
    if name is not None and name not in places:
        hint = nearest(name, list(places)) or "."
        raise ModelError(f"no model is called {name}{hint} Known: {', '.join(places)}")
    names = places if name is None else (name,)
    return tuple(_entry(one, *places[one], machine) for one in names)


def _places() -> dict[str, tuple[Place, Path | None]]:
    """The place of each model: what is here hides what is only known."""
    found: dict[str, tuple[Place, Path | None]] = dict.fromkeys(TRAITS, ("known", None))
    for name, path in fetched_models().items():
        found[name] = ("fetched", path)
    for name, path in own_models().items():
        found[name] = ("converted" if path.is_dir() else "added", path)
    for name, path in embedded_models().items():
        found[name] = ("embedded", path)
    return found


def _entry(name: str, place: Place, path: Path | None, machine: Machine) -> CatalogEntry:
    traits = TRAITS.get(name, Traits(use=_UNKNOWN_USE, cost=Cost.unknown()))
    run = f"vsr upscale film.mp4 --model {name}{traits.options}"
    return CatalogEntry(
        name=name,
        use=traits.use,
        licence=_licence(name, path),
        place=place,
        path=path,
        megabytes=None if path is None else _megabytes(path),
        speed=machine.speed(traits.cost),
        memory=machine.memory(traits.cost),
        command=traits.command if path is None else run,
        fetch=_fetch(traits) if path is None else "",
    )


def _fetch(traits: Traits) -> str:
    size = "size told first" if traits.gigabytes is None else f"about {traits.gigabytes} GB"
    return f"--model {traits.hub} ({size}; converted once)" if traits.hub else ""


def _licence(name: str, path: Path | None) -> str:
    if path is None:
        return _LICENCES.get(name, "unknown")
    folder = path if path.is_dir() else path.parent
    is_own = path.is_dir() or path in embedded_models().values()
    return (read_licence(folder / CARD) if is_own else None) or "unknown"


def _megabytes(path: Path) -> float:
    files = path.rglob("*.safetensors") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files) / 1e6
