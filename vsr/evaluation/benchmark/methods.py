"""The methods of a benchmark: interpolation, and models with and without propagation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vsr.checkpoints.find import embedded_models, find_model
from vsr.config import UpscaleConfig

Interpolation = Literal["bicubic", "lanczos"]

FRAME_BY_FRAME = "frame by frame"


@dataclass(frozen=True, slots=True)
class Method:
    """A way to enlarge a clip: interpolation, or a run of `vsr upscale` by `config`."""

    name: str
    interpolation: Interpolation | None = None
    config: UpscaleConfig | None = None

    @property
    def folder(self) -> str:
        """A name for files: without spaces and commas."""
        return self.name.replace(", ", "_").replace(" ", "_")


def benchmark_methods(models: Sequence[str], *, device: str = "auto") -> Iterator[Method]:
    """Yield both interpolations, and each model steady and frame by frame.

    No models: all embedded ones. Raises ModelError for a model that does not exist.
    """
    yield Method("bicubic", interpolation="bicubic")
    yield Method("lanczos", interpolation="lanczos")
    for model in models or tuple(embedded_models()):
        find_model(model)
        for suffix, steps in (("", None), (f", {FRAME_BY_FRAME}", "none")):
            config = UpscaleConfig(
                model=model, device=device, propagation_steps=steps, lossless=True, overwrite=True
            )
            yield Method(Path(model).name + suffix, config=config)
