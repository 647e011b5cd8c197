"""What a job makes: the size of its frames, and where they go."""

import logging
from dataclasses import dataclass
from pathlib import Path

from vsr.config import NATIVE_SCALE, UpscaleConfig
from vsr.errors import ConfigError
from vsr.video.encoders import ANIMATIONS, ENCODERS, PNG, EncoderSettings
from vsr.video.fates import fullest_suffix
from vsr.video.images import IMAGE_SUFFIXES

_log = logging.getLogger(__name__)

_ANY_CODEC = ".mkv"
_ANY_STREAMS = (_ANY_CODEC, ".mov")

_CLIP_FRAMES = range(4, 17)
# A clip's large frames, latents and their copies take about 2.4 kB for each pixel of the source.
_CLIP_PIXELS = 1_800_000


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
    fitting = _CLIP_PIXELS // (source.height * source.width)
    return min(max(fitting, _CLIP_FRAMES[0]), _CLIP_FRAMES[-1])


def default_output(source: Path, config: UpscaleConfig, *, native: int = NATIVE_SCALE) -> Path:
    """Return the path beside `source` for an output that was not named.

    Its container is the source's where that holds the codec and the other streams, else one that
    does, Matroska first, and the log says so. A picture becomes a PNG file.
    """
    source = source.resolve()
    scale = f"{config.height}p" if config.height else f"x{config.scale or native:g}"
    if config.codec == PNG:
        return source.with_name(f"{_stem(source)}_{scale}")
    codec = encoder_settings(config).codec_for(Path(source.name).with_suffix(_suffix(source)))
    allowed = ANIMATIONS[codec] if codec in ANIMATIONS else ENCODERS[codec].suffixes
    fitting = [suffix for suffix in (_suffix(source), *_ANY_STREAMS) if suffix in allowed]
    suffix = fitting[0] if fitting else allowed[0]
    reason = f"{source.suffix or 'a folder'} does not hold {codec}"
    if codec in ENCODERS and source.is_file():
        fullest = fullest_suffix(source, fitting)
        if fullest != suffix:
            reason = f"{suffix} does not hold all streams of {source.name}"
        suffix = fullest
    output = source.with_name(f"{_stem(source)}_{scale}{suffix}")
    if suffix != source.suffix.lower():
        _log.info("%s: writing %s", reason, output)
    return output


def encoder_settings(config: UpscaleConfig) -> EncoderSettings:
    """Return the part of the config that the writer takes."""
    return EncoderSettings(codec=config.codec, crf=config.crf, lossless=config.lossless)


def _stem(source: Path) -> str:
    return source.name if source.is_dir() else source.stem


def _suffix(source: Path) -> str:
    suffix = source.suffix.lower()
    if source.is_dir() or not suffix:
        return _ANY_CODEC
    return ".png" if suffix in IMAGE_SUFFIXES else suffix


def _even(value: float) -> int:
    return max(2 * round(value / 2), 2)
