"""What a job makes: the size of its frames, and where they go."""

import logging
from dataclasses import dataclass
from pathlib import Path

from vsr.config import NATIVE_SCALE, UpscaleConfig
from vsr.errors import ConfigError

_log = logging.getLogger(__name__)

# The containers that hold what each codec makes, with exact timestamps; the first is the default.
CONTAINERS = {
    "x264": (".mkv", ".mp4", ".mov", ".m4v"),
    "x265": (".mkv", ".mp4", ".mov", ".m4v"),
    "av1": (".mkv", ".mp4", ".webm"),
    "prores": (".mkv", ".mov"),
    "ffv1": (".mkv",),
}


@dataclass(frozen=True, slots=True)
class Size:
    """Height and width in pixels."""

    height: int
    width: int


def output_size(source: Size, config: UpscaleConfig) -> Size:
    """Return the size of the output: even numbers, as chroma at half the resolution needs them.

    Raises ConfigError where `config.height` is not between the source's height and four times it.
    """
    native = Size(NATIVE_SCALE * source.height, NATIVE_SCALE * source.width)
    if config.height is None:
        scale = config.scale
    elif source.height <= config.height <= native.height:
        scale = config.height / source.height
    else:
        raise ConfigError(
            f"height = {config.height} is out of range; "
            f"it can be from {source.height} to {native.height} for this source"
        )
    size = Size(_even(scale * source.height), _even(scale * source.width))
    exact = Size(round(scale * source.height), round(scale * source.width))
    if size != exact:
        _log.info("%dx%d is rounded to %dx%d", exact.width, exact.height, size.width, size.height)
    return size


def codec_of(config: UpscaleConfig) -> str:
    """Return the codec that the config asks for."""
    return config.codec or ("ffv1" if config.lossless else "x264")


def default_output(source: Path, config: UpscaleConfig) -> Path:
    """Return the path beside `source` for an output that was not named; says so where it changes.

    The container is the source's where that can hold the codec, Matroska otherwise.
    """
    scale = f"{config.height}p" if config.height else f"x{config.scale:g}"
    source = source.resolve()
    stem = source.name if source.is_dir() else source.stem
    codec = codec_of(config)
    if codec == "png":
        return source.with_name(f"{stem}_{scale}")
    suffix = source.suffix.lower()
    if source.is_dir() or suffix not in CONTAINERS[codec]:
        suffix = CONTAINERS[codec][0]
    output = source.with_name(f"{stem}_{scale}{suffix}")
    _log.info("writing %s", output)
    return output


def _even(value: float) -> int:
    return max(2 * round(value / 2), 2)
