"""The models that vsr knows by name: their use, licence, size, place, speed and memory."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from vsr.checkpoints.cards import CARD, LAVIE, UPSCALE_A_VIDEO, X4_UPSCALER, read_licence
from vsr.checkpoints.find import embedded_models
from vsr.config import nearest
from vsr.errors import ModelError

Place = Literal["embedded", "to be converted"]
Speed = Literal["fast", "medium", "slow", "very slow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """The use and the cost of a model."""

    use: str
    speed: Speed
    memory: str
    """Peak of a run of 16 frames in bfloat16, with the size of the source and the device."""
    command: str


_UPSCALE = "vsr upscale film.mp4 --model {}"
_PUBLISHED = "9.2 GB for 320x180 on a GPU, before the autoencoder"

TRAITS: Mapping[str, Traits] = {
    "compact": Traits(
        use="any source, steady from frame to frame, on a CPU too",
        speed="medium",
        memory="3.0 GB for 320x180 on a CPU",
        command=_UPSCALE.format("compact"),
    ),
    "realesr-animevideov3": Traits(
        use="animation: drawn lines and flat colours",
        speed="fast",
        memory="1.4 GB for 320x180 on a CPU",
        command=_UPSCALE.format("realesr-animevideov3"),
    ),
    "realesr-general-x4v3": Traits(
        use="any source, quickly",
        speed="fast",
        memory="1.5 GB for 320x180 on a CPU",
        command=_UPSCALE.format("realesr-general-x4v3"),
    ),
    "realesrgan-x4plus": Traits(
        use="photographs and filmed material: the crispest texture",
        speed="slow",
        memory="2.1 GB for 320x180 on a CPU",
        command=_UPSCALE.format("realesrgan-x4plus"),
    ),
    "upscale-a-video": Traits(
        use="the published diffusion network, with text",
        speed="very slow",
        memory=_PUBLISHED,
        command="vsr convert UPSCALE_A_VIDEO_FOLDER upscale-a-video",
    ),
    "lavie-vsr": Traits(
        use="generated clips: LaVie's diffusion network, with text",
        speed="very slow",
        memory=_PUBLISHED,
        command="vsr convert lavie_vsr.pt lavie-vsr --upscaler SD_X4_FOLDER",
    ),
    "sd-x4-upscaler": Traits(
        use="Stable Diffusion's image upscaler, made steady, with text",
        speed="very slow",
        memory=_PUBLISHED,
        command="vsr convert SD_X4_FOLDER sd-x4-upscaler",
    ),
}
_LICENCES = {
    "upscale-a-video": UPSCALE_A_VIDEO.licence,
    "lavie-vsr": LAVIE.licence,
    "sd-x4-upscaler": X4_UPSCALER.licence,
}
SPEEDS: Mapping[Speed, str] = {
    "fast": "below 0.3 s",
    "medium": "below 1 s",
    "slow": "some seconds",
    "very slow": "minutes",
}
"""Time per frame of 180x144 on two CPU cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """A model of the catalog."""

    name: str
    use: str
    licence: str
    place: Place
    megabytes: float | None
    """Size of its weights; None for those that are not here."""
    speed: Speed
    memory: str
    command: str

    def __str__(self) -> str:
        size = "" if self.megabytes is None else f", {self.megabytes:.1f} MB"
        rows = {
            "use": self.use,
            "licence": self.licence,
            "where": self.place + size,
            "speed": f"{self.speed}: {SPEEDS[self.speed]} per frame of 180x144 on 2 CPU cores",
            "memory": self.memory,
            "try": self.command,
        }
        return "\n".join([self.name, *(f"  {key:<8} {value}" for key, value in rows.items())])


def catalog(name: str | None = None) -> tuple[CatalogEntry, ...]:
    """Returns the models that are known by name, or the one called `name`.

    Raises ModelError for an unknown name, with the nearest one.
    """
    embedded = embedded_models()
    if name is not None and name not in TRAITS:
        hint = nearest(name, list(TRAITS)) or "."
        raise ModelError(f"no model is called {name}{hint} Known: {', '.join(TRAITS)}")
    names = TRAITS if name is None else (name,)
    return tuple(_entry(one, embedded.get(one)) for one in names)


def _entry(name: str, place: Path | None) -> CatalogEntry:
    folder = None if place is None else place if place.is_dir() else place.parent
    licence = _LICENCES.get(name) if folder is None else read_licence(folder / CARD)
    return CatalogEntry(
        name=name,
        licence=licence or "unknown",
        place="to be converted" if folder is None else "embedded",
        megabytes=None if folder is None else _megabytes(folder),
        **asdict(TRAITS[name]),
    )


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors")) / 1e6
