"""The interface of a model for jobs: its identity, and upscaling clips."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vsr.checkpoints.find import find_model, is_interpolation, is_picture_folder
from vsr.config import NO_MODEL, UpscaleConfig
from vsr.jobs.resume.identity import Identity, files_identity
from vsr.option_values import parse_lora
from vsr.pipelines.presets import read_preset
from vsr.runtime.timing import Timer
from vsr.upscaling.sizes import Size
from vsr.video.reading.clips import Clip

if TYPE_CHECKING:  # they bring torch
    from vsr.upscaling.clip_upscaler import UpscaledClip, Upscaler
    from vsr.upscaling.same_size import SameSize


class ClipUpscaler(Protocol):
    """Upscales clips one after the other."""

    def __call__(self, clip: Clip) -> "UpscaledClip":
        """Return the frames of `clip` at the size of the output."""
        ...

    def carried(self) -> bytes:
        """Return the state that the last clip leaves for the next one of its shot."""
        ...

    def resume(self, carried: bytes) -> None:
        """Continue from the state that another process may have left."""
        ...


class Model(Protocol):
    """A model with the settings of a run; a run that only joins does not load it."""

    def identity(self) -> Identity:
        """Return all of it that decides the bytes of an output."""
        ...

    def load(self, size: Size, timer: Timer) -> ClipUpscaler:
        """Load it, for frames of the output's size."""
        ...


@dataclass(slots=True)
class ConfiguredModel:
    """The model that a config names, read once for all films of a batch."""

    config: UpscaleConfig
    _identity: Identity | None = None
    _upscaler: "Upscaler | SameSize | None" = None

    def identity(self) -> Identity:
        """Return hashes of all files that it is loaded from, and the kind of device; see Model."""
        from vsr.runtime.device import choose_device, choose_dtype

        if self._identity is not None:
            return self._identity
        if self.config.model == NO_MODEL:
            self._identity = {"content of the model": None}
            return self._identity
        config, device = self.config, choose_device(self.config.device)
        weights = Path(config.flow_weights) if config.flow_weights else None
        self._identity = {
            **files_identity("the model", _path_of(config.model)),
            **files_identity("the texture", _path_of(config.texture_model)),
            **files_identity("the flow weights", weights),
            **_lora_identity(config.lora),
            "values of the preset": read_preset(config.preset) if config.preset else None,
            "kind of device": device.type,
            "number format": str(choose_dtype(config.dtype, device)),
        }
        return self._identity

    def load(self, size: Size, timer: Timer) -> ClipUpscaler:
        """See Model."""
        from vsr.upscaling.load import load_upscaler

        if self._upscaler is None:
            self._upscaler = load_upscaler(self.config, size, timer)
        self._upscaler.size = size
        if self._upscaler.texture is not None:
            self._upscaler.texture.begin_film()
        return self._upscaler


def _lora_identity(lora: str | None) -> Identity:
    """Return the content of a LoRA and its weight; empty where there is none."""
    if lora is None:
        return {}
    from vsr.checkpoints.lora import lora_files

    path, weight = parse_lora(lora)
    weights, settings = lora_files(path)
    return {
        **files_identity("the LoRA", weights),
        **files_identity("the LoRA's settings", settings),
        "weight of the LoRA": weight,
    }


def _path_of(name: str | None) -> Path | None:
    """Return the files of a model or of a texture; None where there are none."""
    if name is None or is_interpolation(name):
        return None
    return Path(name) if is_picture_folder(name) else find_model(name)
