"""The output of a job: its name and container."""

import logging
from contextlib import suppress
from pathlib import Path

from vsr.checkpoints.find import native_scale
from vsr.config import NATIVE_SCALE, NO_MODEL, UpscaleConfig
from vsr.errors import InputError
from vsr.upscaling.sizes import Size, is_capped, longest_shorter_side, output_size
from vsr.video.probe import probe
from vsr.video.suffixes import IMAGE_SUFFIXES, ending
from vsr.video.writing.encoders import ANIMATIONS, ENCODERS, PNG, EncoderSettings
from vsr.video.writing.stream_fates import fullest_suffix

_log = logging.getLogger(__name__)

_NAME = "{stem}_{scale}"
_ANY_CODEC = ".mkv"
_ANY_STREAMS = (_ANY_CODEC, ".mov")


def default_output(source: Path, config: UpscaleConfig, *, native: int = NATIVE_SCALE) -> Path:
    """Return the path beside `source` for an output that was not named.

    Its container is that of `config.name`, if this has an ending, else the source's where that
    holds the codec and the other streams, else one that does, Matroska first, and the log says so.
    A picture becomes a PNG file.
    """
    source = named(source)
    output = source.with_name(output_name(source, config, native=native))
    if config.codec == PNG or _names_container(config.name):
        return output
    codec = encoder_settings(config).codec_for(Path(f"film{_suffix(source)}"))
    allowed = ANIMATIONS[codec] if codec in ANIMATIONS else ENCODERS[codec].suffixes
    fitting = [suffix for suffix in (_suffix(source), *_ANY_STREAMS) if suffix in allowed]
    suffix = fitting[0] if fitting else allowed[0]
    reason = f"{ending(source) or 'a name without an ending'} does not hold {codec}"
    if source.is_dir():
        reason = f"a folder does not hold {codec}"
    if codec in ENCODERS and source.is_file():
        fullest = fullest_suffix(
            source, fitting, without=config.left_out, playlists=config.allow_playlists
        )
        if fullest != suffix:
            reason = f"{suffix} does not hold all streams of {source.name}"
        suffix = fullest
    output = output.with_name(f"{output.name}{suffix}")
    if suffix != ending(source):
        _log.info("%s: writing %s", reason, output)
    return output


def output_name(source: Path, config: UpscaleConfig, *, native: int = NATIVE_SCALE) -> str:
    """Return the name of an output, without the container's ending unless `config.name` has it."""
    scale = "restored" if config.model == NO_MODEL else _scale_tag(source, config, native)
    suffix = "" if source.is_dir() else ending(source)
    stem = source.name[: len(source.name) - len(suffix)]
    return (config.name or _NAME).format(stem=stem, scale=scale, ending=suffix.removeprefix("."))


def _scale_tag(source: Path, config: UpscaleConfig, native: int) -> str:
    """Return the end of a default name: `x4`, or the size if it is asked for or capped."""
    if config.width:
        return f"{config.width}w"
    if config.height:
        return f"{config.height}p"
    size = _size(source, config)
    if size is not None and is_capped(size, config, native=native):
        capped = output_size(size, config, native=native)
        return f"{min(capped.height, capped.width)}p"
    return f"x{config.scale or native:g}"


def _size(source: Path, config: UpscaleConfig) -> Size | None:
    """Return the size of a source, or None if it cannot be read, which the run will say."""
    if longest_shorter_side(config) is None:
        return None
    with suppress(InputError):
        info = probe(source, rate=config.frame_rate)
        return Size(info.height, info.width)
    return None


def _names_container(pattern: str | None) -> bool:
    return bool(pattern and ending(Path(pattern.format(stem="film", scale="x4", ending=""))))


def film_output(source: Path, output: Path | None, config: UpscaleConfig) -> Path | None:
    """Return the output of one film: a folder that exists gets a file with the default name.

    With the codec png a folder is itself the output.
    """
    if output is None or config.codec == PNG or not output.is_dir():
        return output
    return output / default_output(source, config, native=native_scale(config.model)).name


def named(path: Path) -> Path:
    """Return an absolute path that has a name, as `.` has none; a link stays a link."""
    return path.resolve() if path.name in ("", "..") else path.absolute()


def encoder_settings(config: UpscaleConfig) -> EncoderSettings:
    """Return the part of the config that the writer takes."""
    return EncoderSettings(codec=config.codec, crf=config.crf, lossless=config.lossless)


def _suffix(source: Path) -> str:
    suffix = "" if source.is_dir() else ending(source)
    if not suffix:
        return _ANY_CODEC
    return ".png" if suffix in IMAGE_SUFFIXES else suffix
