"""One moment of a film in every model that is here, as one picture with the seconds a frame."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from vsr.checkpoints.fetch import HUB
from vsr.checkpoints.find import embedded_models, own_models
from vsr.config import INTERPOLATIONS, UpscaleConfig
from vsr.errors import ConfigError, InputError, ModelError, VsrError, as_output_error
from vsr.jobs.job import Job
from vsr.jobs.target import named
from vsr.option_values import nearest
from vsr.reporting.films import Picture
from vsr.reporting.sheets import side_by_side
from vsr.runtime.files import write_atomically
from vsr.runtime.timing import NullTimer
from vsr.upscaling.load import load_upscaler
from vsr.video.images import encode_png
from vsr.video.pixels import as_uint8, scaled
from vsr.video.probe import VideoInfo, probe
from vsr.video.reading.clips import Clip
from vsr.video.reading.reader import Frame

_log = logging.getLogger(__name__)

_BEFORE, _AFTER = 2, 2
"""Frames around the moment: networks in time see their neighbours."""


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """The picture, and the seconds per frame of each model that is in it."""

    picture: Path
    seconds: dict[str, float]

    def __str__(self) -> str:
        width = max(map(len, self.seconds))
        rows = [f"{name:<{width}}  {each:.3g} s a frame" for name, each in self.seconds.items()]
        return "\n".join([*rows, str(self.picture)])


@dataclass(frozen=True, slots=True)
class _Moment:
    """A few consecutive frames of one source, and the one to show."""

    frames: tuple[Frame, ...]
    shown: int


def compare_models(
    source: Path,
    output: Path | None = None,
    config: UpscaleConfig | None = None,
    *,
    at: float | None = None,
    names: Sequence[str] | None = None,
) -> ModelComparison:
    """Write a picture of one moment of `source` in each model, and return it with the times.

    `at` is the moment in seconds (None: the middle); `names` are the models (None: all that are
    embedded or in the models folder). The first picture is the source, enlarged by bicubic
    interpolation. A model that fails is named in the log and left out. Raises InputError for a
    source without that moment, ModelError where no model is left.
    """
    config = config or UpscaleConfig()
    here = list({**embedded_models(), **own_models()})
    chosen = here if names is None else [_known(name, here) for name in names]
    info = probe(source)
    output = output or named(source).with_name(f"{source.stem}.models.png")
    moment = _moment(info, replace(config, start=_start(info, at)), at)
    made: dict[str, Picture] = {}
    seconds: dict[str, float] = {}
    for name in chosen:
        try:
            made[name], seconds[name] = _upscaled(
                source, moment, replace(config, model=name, texture="none")
            )
        except VsrError as error:
            _log.warning("%s is left out: %s", name, error)
    if not made:
        raise ModelError(f"none of {', '.join(chosen)} works on {source}; the log says why")
    _write(output, moment, made, seconds)
    return ModelComparison(output, seconds)


def _known(name: str, here: Sequence[str]) -> str:
    is_elsewhere = Path(name).exists() or name.startswith(HUB) or name in INTERPOLATIONS
    if name not in here and not is_elsewhere:
        raise ConfigError(f"there is no model {name}{nearest(name, here) or '.'}")
    return name


def _moment(info: VideoInfo, config: UpscaleConfig, at: float | None) -> _Moment:
    """The frames around the moment."""
    wanted = _seconds(info, at)
    job = Job.of(info.path, None, config)
    with job.reader() as reader:
        frames = tuple(islice(reader, _BEFORE + 1 + _AFTER))
    if not frames:
        raise InputError(f"{info.path} has no frame at {wanted:g} s: choose an earlier --at")
    begin = float(info.start_pts * info.time_base)
    later = (i for i, frame in enumerate(frames) if float(frame.seconds) - begin >= wanted - 1e-6)
    return _Moment(frames, next(later, len(frames) - 1))


def _seconds(info: VideoInfo, at: float | None) -> float:
    return float(info.duration or 0) / 2 if at is None else at


def _start(info: VideoInfo, at: float | None) -> float:
    """The time of the first frame that is needed."""
    rate = info.average_rate
    before = 0.0 if rate is None else float(_BEFORE / rate)
    return max(0.0, _seconds(info, at) - before)


def _upscaled(source: Path, moment: _Moment, config: UpscaleConfig) -> tuple[Picture, float]:
    """The moment by one model, and its seconds a frame, without those of loading."""
    job = Job.of(source, None, config)
    upscaler = load_upscaler(config, job.size, NullTimer())
    clip = Clip(moment.frames, 0, starts_shot=True)
    began = time.perf_counter()
    pixels = upscaler(clip).pixels[moment.shown]
    return as_uint8(pixels), (time.perf_counter() - began) / len(moment.frames)


def _write(
    output: Path, moment: _Moment, made: dict[str, Picture], seconds: dict[str, float]
) -> None:
    height, width = max((picture.shape[:2] for picture in made.values()), key=lambda size: size[0])
    small = as_uint8(moment.frames[moment.shown].pixels)
    pictures = [small, *made.values()]
    labels = ["source, bicubic", *(f"{name}  {seconds[name]:.3g} s a frame" for name in made)]
    sized = [np.asarray(scaled(picture, height, width), np.uint8) for picture in pictures]
    with as_output_error(output):
        write_atomically(output, encode_png(side_by_side(sized, labels)))
