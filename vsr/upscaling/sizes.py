"""The size of a run's frames, and how many of them are in memory at once."""

import logging
from dataclasses import dataclass

from vsr.config import NATIVE_SCALE, UpscaleConfig
from vsr.errors import ConfigError
from vsr.pipelines.clip_length import fitting_clip_length

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Size:
    """Height and width in pixels."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def output_size(source: Size, config: UpscaleConfig, *, native: int = NATIVE_SCALE) -> Size:
    """Return the size of the output: even numbers, as chroma at half the resolution needs them.

    `native` is the model's own scale. Raises ConfigError where `config.scale` is above it, or
    `config.height` is not between the source's height and that many times it.
    """
    scale = config.scale or native
    if scale > native:
        raise ConfigError(
            f"scale = {scale} is out of range; it can be from 1 to {native} with this model"
        )
    if config.height is not None:
        if not source.height <= config.height <= native * source.height:
            raise ConfigError(
                f"height = {config.height} is out of range; it can be from {source.height} to "
                f"{native * source.height} for this source and model"
            )
        scale = config.height / source.height
    size = Size(_even(scale * source.height), _even(scale * source.width))
    exact = Size(round(scale * source.height), round(scale * source.width))
    if size != exact:
        _log.info("%s is rounded to %s", exact, size)
    return size


def clip_length(source: Size, config: UpscaleConfig) -> int:
    """Return how many frames are in memory at once: the user's word, or what a few GB hold."""
    if config.max_clip_frames is not None:
        return config.max_clip_frames
    return fitting_clip_length(source.height, source.width)


def _even(value: float) -> int:
    return max(2 * round(value / 2), 2)
