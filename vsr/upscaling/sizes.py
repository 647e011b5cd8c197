"""The size of a run's frames, and how many of them are in memory at once."""

import logging
from dataclasses import dataclass

from vsr.checkpoints.find import clip_memory, makes_any_size
from vsr.config import NATIVE_SCALE, UpscaleConfig
from vsr.errors import ConfigError
from vsr.option_values import parse_size
from vsr.pipelines.clip_length import (
    SEEDVR_CLIP_FRAMES,
    SEEDVR_MULTIPLE,
    fitting_clip_length,
)

_log = logging.getLogger(__name__)


_LARGEST_SIDE = 2160
"""Largest shorter side of an output whose size is not asked for: that of 4K video."""


@dataclass(frozen=True, slots=True)
class Size:
    """Height and width in pixels."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def pixels(self) -> int:
        """Their product."""
        return self.height * self.width


def longest_shorter_side(config: UpscaleConfig) -> int | None:
    """Return the largest shorter side of an output in pixels; None: any."""
    if config.max_size is not None:
        return parse_size(config.max_size)
    is_asked_for = any(side is not None for side in (config.scale, config.width, config.height))
    return None if is_asked_for else _LARGEST_SIDE


def output_size(source: Size, config: UpscaleConfig, *, native: int = NATIVE_SCALE) -> Size:
    """Return the size of the output: even numbers, as chroma at half the resolution needs them.

    `native` is the model's own scale. The shorter side is at most `longest_shorter_side`,
    unless the source's is longer. Raises ConfigError where the scale that is asked for is below 1
    or above `native`, or for frames too small to crop.
    """
    size = uncropped_size(source, config, native=native)
    if config.seedvr_crop is None:
        return size
    if min(size.height, size.width) < SEEDVR_MULTIPLE:
        raise ConfigError(
            f"{size} cannot be cropped to multiples of {SEEDVR_MULTIPLE}: leave out --seedvr-crop, "
            "or ask for a larger output"
        )
    return Size(_multiple(size.height), _multiple(size.width))


def uncropped_size(source: Size, config: UpscaleConfig, *, native: int = NATIVE_SCALE) -> Size:
    """Return `output_size` as it is before `--seedvr-crop`."""
    scale = _capped(_scale(source, config, native), source, config)
    return Size(_even(scale * source.height), _even(scale * source.width))


def is_capped(source: Size, config: UpscaleConfig, *, native: int = NATIVE_SCALE) -> bool:
    """Return True if the output is smaller than asked for, or than the model makes it."""
    scale = _scale(source, config, native)
    return _capped(scale, source, config) < scale


def log_size(source: Size, config: UpscaleConfig, *, native: int = NATIVE_SCALE) -> None:
    """Say where the size of the output is not the scaled one."""
    whole = _scale(source, config, native)
    scale = _capped(whole, source, config)
    size = output_size(source, config, native=native)
    if scale < whole:
        _log.info(
            "%s instead of %s: the shorter side is at most %d pixels unless --max-size is larger "
            "or none, or --scale, --width or --height is given",
            *(size, _exact(whole, source), longest_shorter_side(config)),
        )
    elif size != _exact(scale, source):
        done = "rounded" if config.seedvr_crop is None else "cropped"
        _log.info("%s is %s to %s", _exact(scale, source), done, size)


def clip_length(source: Size, config: UpscaleConfig) -> int:
    """Return how many frames are in memory at once: the user's word, or what a few GB hold."""
    if config.max_clip_frames is not None:
        return config.max_clip_frames
    if makes_any_size(config.model):
        return SEEDVR_CLIP_FRAMES
    return fitting_clip_length(source.height, source.width, clip_memory(config.model))


def _scale(source: Size, config: UpscaleConfig, native: int) -> float:
    """Return the scale that the config asks for, or else the model's."""
    for name, length in (("width", source.width), ("height", source.height)):
        asked = getattr(config, name)
        if asked is None:
            continue
        if not length <= asked <= native * length:
            raise ConfigError(
                f"{name} = {asked} is out of range; it can be from {length} to {native * length} "
                "for this source and model"
            )
        return asked / length
    scale = config.scale or native
    if scale > native:
        raise ConfigError(
            f"scale = {scale} is out of range; it can be from 1 to {native} with this model"
        )
    return scale


def _capped(scale: float, source: Size, config: UpscaleConfig) -> float:
    longest = longest_shorter_side(config)
    if longest is None:
        return scale
    return min(scale, max(1.0, longest / min(source.height, source.width)))


def _exact(scale: float, source: Size) -> Size:
    return Size(round(scale * source.height), round(scale * source.width))


def _multiple(side: int) -> int:
    return side // SEEDVR_MULTIPLE * SEEDVR_MULTIPLE


def _even(value: float) -> int:
    return max(2 * round(value / 2), 2)
