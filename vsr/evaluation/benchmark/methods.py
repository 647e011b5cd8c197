"""The methods of a benchmark: interpolation, and models with and without propagation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vsr.checkpoints.find import embedded_models, find_model
from vsr.config import UpscaleConfig
from vsr.errors import ConfigError
from vsr.evaluation.benchmark.animesr import is_animesr
from vsr.models.network_kind import is_recurrent

Interpolation = Literal["bicubic", "lanczos"]

FRAME_BY_FRAME = "frame by frame"
WITHOUT_TEXTURE = "without texture"


@dataclass(frozen=True, slots=True)
class Method:
    """A way to enlarge a clip, by one of four: the others are None.

    `interpolation`; a run of `vsr upscale` by `config`; `animesr`, weights of that video network;
    or `outputs`, a folder with what another tool made of the clips, paired by name.
    """

    name: str
    interpolation: Interpolation | None = None
    config: UpscaleConfig | None = None
    animesr: str | None = None
    outputs: str | None = None

    @property
    def folder(self) -> str:
        """A name for files: without spaces and commas."""
        return self.name.replace(", ", "_").replace(" ", "_")


def benchmark_methods(models: Sequence[str], *, device: str = "auto") -> Iterator[Method]:
    """Yield both interpolations, and each model as `vsr upscale` runs it and without its parts.

    Parts are texture, and propagation where the network sees single frames. No models: all embedded
    ones. A file with weights of AnimeSR is run as the video network that it is. Raises ModelError
    for a model that does not exist.
    """
    yield Method("bicubic", interpolation="bicubic")
    yield Method("lanczos", interpolation="lanczos")
    for model in models or tuple(embedded_models()):
        if is_animesr(Path(model)):
            yield Method(Path(model).stem, animesr=model)
        else:
            yield from _model_methods(model, device)


def _model_methods(model: str, device: str) -> Iterator[Method]:
    path = find_model(model)
    config = UpscaleConfig(model=model, device=device, lossless=True, overwrite=True)
    name = Path(model).name
    yield Method(name, config=config)
    plain = replace(config, texture="none")
    if config.texture_model is not None:
        yield Method(f"{name}, {WITHOUT_TEXTURE}", config=plain)
    if path.is_dir() or not is_recurrent(path):
        yield Method(f"{name}, {FRAME_BY_FRAME}", config=replace(plain, propagation_steps="none"))


def given_outputs(text: str) -> Iterator[Method]:
    """Yield a method for each `NAME=FOLDER` of a list; ConfigError if it is not understood."""
    for part in text.split(","):
        name, equals, folder = part.partition("=")
        if not (name.strip() and equals and folder.strip()):
            raise ConfigError(f"outputs {part} is not understood; it is NAME=FOLDER")
        yield Method(name.strip(), outputs=folder.strip())
