"""The methods of a benchmark: interpolation, and models with and without propagation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vsr.checkpoints.find import embedded_models, find_model
from vsr.config import UpscaleConfig
from vsr.errors import ConfigError
from vsr.evaluation.benchmark.animesr import is_animesr

Interpolation = Literal["bicubic", "lanczos"]

FRAME_BY_FRAME = "frame by frame"


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
    """Yield both interpolations, and each model steady and frame by frame.

    No models: all embedded ones. A file with weights of AnimeSR is run as the video network that it
    is. Raises ModelError for a model that does not exist.
    """
    yield Method("bicubic", interpolation="bicubic")
    yield Method("lanczos", interpolation="lanczos")
    for model in models or tuple(embedded_models()):
        if is_animesr(Path(model)):
            yield Method(Path(model).stem, animesr=model)
            continue
        find_model(model)
        for suffix, steps in (("", None), (f", {FRAME_BY_FRAME}", "none")):
            config = UpscaleConfig(
                model=model, device=device, propagation_steps=steps, lossless=True, overwrite=True
            )
            yield Method(Path(model).name + suffix, config=config)


def given_outputs(text: str) -> Iterator[Method]:
    """Yield a method for each `NAME=FOLDER` of a list; ConfigError if it is not understood."""
    for part in text.split(","):
        name, equals, folder = part.partition("=")
        if not (name.strip() and equals and folder.strip()):
            raise ConfigError(f"outputs {part} is not understood; it is NAME=FOLDER")
        yield Method(name.strip(), outputs=folder.strip())
