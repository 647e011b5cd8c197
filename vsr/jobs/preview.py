"""A few seconds of the output and a picture to compare, before a whole film is made."""

from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from vsr.checkpoints.find import native_scale
from vsr.config import UpscaleConfig
from vsr.errors import OutputError
from vsr.jobs.job import Job
from vsr.jobs.progress import ShowProgress, no_progress
from vsr.jobs.target import default_output
from vsr.jobs.upscale import UpscaleReport, upscale
from vsr.video.images import encode_png
from vsr.video.pixels import Pixels
from vsr.video.reading.reader import VideoReader

PREVIEWS = ".vsr_previews"
"""The folder beside an output that holds its previews."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The upscaled slice, and the picture: bicubic left, the result right."""

    report: UpscaleReport
    picture: Path

    def __str__(self) -> str:
        return f"{self.report}\nside by side, bicubic left: {self.picture}"


def preview(
    source: Path,
    output: Path | None = None,
    config: UpscaleConfig | None = None,
    *,
    seconds: float,
    progress: ShowProgress = no_progress,
) -> Preview:
    """Upscale the first seconds from `config.start` on, as `.vsr_previews/NAME.preview.EXT`.

    The folder is beside the output, and hidden: a preview is no film of the folder. A frame of
    their middle is shown enlarged by bicubic interpolation and as it came out, in
    `NAME.preview.png`. Both replace those of an earlier preview.
    """
    config = config or UpscaleConfig()
    output = output or default_output(source, config, native=native_scale(config.model))
    short = replace(config, duration=seconds, overwrite=True, restart=True)
    film, picture = (_preview_path(output, suffix) for suffix in (output.suffix, ".png"))
    try:
        film.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{film.parent} cannot be made: {error.strerror or error}") from error
    try:
        report = upscale(source, film, short, progress=progress)
    except BaseException:
        with suppress(OSError):
            film.parent.rmdir()  # only an empty one
        raise
    middle = report.frames // 2
    with (
        Job.of(source, report.output, short).reader() as small,
        VideoReader(report.output) as large,
    ):
        frames = [next(islice(reader, middle, None)).pixels for reader in (small, large)]
    try:
        picture.write_bytes(encode_png(side_by_side(*frames)))
    except OSError as error:
        raise OutputError(f"{picture} cannot be written: {error.strerror or error}") from error
    return Preview(report, picture)


def side_by_side(small: Pixels, large: Pixels) -> Pixels:
    """Return `small`, bicubic, at the size of `large`, with `large` to its right."""
    height, width = large.shape[:2]
    cubic = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    if cubic.dtype != large.dtype:  # a deep source whose output is not deep
        cubic = np.rint(cubic * (_white(large) / _white(small)))
    return np.concatenate([np.asarray(cubic, large.dtype), large], axis=1)


def _preview_path(output: Path, suffix: str) -> Path:
    return output.parent / PREVIEWS / f"{output.stem}.preview{suffix}"


def _white(pixels: Pixels) -> int:
    return 65535 if pixels.itemsize == 2 else 255
