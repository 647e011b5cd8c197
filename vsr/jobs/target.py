"""The output of a job: its name and container."""

import logging
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from vsr.checkpoints.find import native_scale
from vsr.config import NATIVE_SCALE, NO_MODEL, UpscaleConfig
from vsr.errors import InputError
from vsr.upscaling.sizes import Size, is_capped, longest_shorter_side, output_size
from vsr.video.probe import probe
from vsr.video.stills import is_still
from vsr.video.suffixes import IMAGE_SUFFIXES, ending
from vsr.video.writing.encoders import (
    ANIMATIONS,
    DPX,
    ENCODERS,
    EXR,
    PICTURES,
    PNG,
    EncoderSettings,
    picture_codec,
)
from vsr.video.writing.stream_fates import fullest_suffix

_log = logging.getLogger(__name__)

_NAME = "{stem}_{scale}"
_ANY_CODEC = ".mkv"
_ANY_STREAMS = (_ANY_CODEC, ".mov")
SCAN_SUFFIXES = (".dpx", ".exr", ".j2c", ".j2k", ".jp2", ".sgi", ".tga", ".tif", ".tiff")
"""Pictures as film scanners and compositing programs write them, one for each frame."""


def default_output(source: Path, config: UpscaleConfig, *, native: int = NATIVE_SCALE) -> Path:
    """Return the path beside `source` for an output that was not named.

    Its container is that of `config.name`, if this has an ending, else the source's where that
    holds the codec and the other streams, else one that does, Matroska first, and the log says so.
    A picture becomes a picture, and a folder of scans a folder.
    """
    source = named(source)
    given = config.codec
    config = with_picture_codec(source, None, config)
    output = source.with_name(output_name(source, config, native=native))
    if _names_container(config.name):
        return output
    if config.codec is not None and config.codec in PICTURES:
        suffix = PICTURES[config.codec][0] if is_still(source) else ""
        output = output.with_name(f"{output.name}{suffix}")
        if source.is_dir() and not given:
            _log.info("a folder of scans: writing %s; for a film give its name", output)
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


def with_picture_codec(source: Path, output: Path | None, config: UpscaleConfig) -> UpscaleConfig:
    """Return the config with the codec of pictures, where neither it nor `output` has one.

    One picture gives one picture, which is PNG but for DPX and EXR, and a folder of scans a folder,
    of the source's kind where that can be written. A folder of the pictures of the web is a film.
    """
    if config.codec or config.lossless or (output is None and _names_container(config.name)):
        return config
    if output is not None and ending(output):
        is_picture = picture_codec(output) and is_still(source)
        return replace(config, codec=picture_codec(output)) if is_picture else config
    if is_still(source):
        codec = picture_codec(source)
        return replace(config, codec=codec if codec in (DPX, EXR) else PNG)
    if not source.is_dir():
        return config
    kinds = {path.suffix.lower() for path in source.iterdir() if path.name[0] != "."}
    scans = sorted(kind for kind in kinds if kind in SCAN_SUFFIXES)
    if not scans or kinds & {*IMAGE_SUFFIXES} - {*SCAN_SUFFIXES}:
        return config
    return replace(config, codec=picture_codec(Path(f"scan{scans[0]}")) or PNG)


def _names_container(pattern: str | None) -> bool:
    return bool(pattern and ending(Path(pattern.format(stem="film", scale="x4", ending=""))))


def film_output(source: Path, output: Path | None, config: UpscaleConfig) -> Path | None:
    """Return the output of one film: a folder that exists gets a file with the default name.

    With the codec of a picture a folder is itself the output of a film or a folder.
    """
    if output is None or not output.is_dir():
        return output
    if config.codec in PICTURES and not is_still(source):
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
