"""Comparison of versions of one film: a picture, a video and a page in a folder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vsr.errors import ConfigError, as_output_error
from vsr.reporting.comparison_page import comparison_page
from vsr.reporting.films import Films, Picture
from vsr.reporting.pictures import Box, crops_of_difference
from vsr.reporting.sheets import sheet, side_by_side
from vsr.reporting.watch import Watch
from vsr.runtime.files import write_atomically
from vsr.video.images import encode_png
from vsr.video.writing.encoders import EncoderSettings
from vsr.video.writing.output_file import write_video


@dataclass(frozen=True, slots=True)
class Comparison:
    """The files of a comparison, and the number of the frame that is shown first, from 0."""

    folder: Path
    frame: int

    @property
    def page(self) -> Path:
        """The page to open in a browser."""
        return self.folder / "compare.html"

    def __str__(self) -> str:
        return f"frame {self.frame} is shown\n{self.page}"


def compare(
    paths: Sequence[Path], output: Path, *, frame: int | None = None, crop: Box | None = None
) -> Comparison:
    """Write `compare.png`, `compare.mp4` and `compare.html` into `output`, replacing older ones.

    `frame` counts from 0 (None: the one of each third of the films that differs most from the first
    film). `crop` replaces the boxes that differ most.
    """
    films = Films.open(paths)
    _check_crop(crop, films.size)
    if frame is not None and frame < 0:
        raise ConfigError(f"frame must be 0 or more, not {frame}")
    with as_output_error(output):
        output.mkdir(parents=True, exist_ok=True)
        watch = Watch(films, row=_row(films, crop), wanted=frame)
        _write_side_by_side(films, watch, output / "compare.mp4")
        boxes = [crop] if crop else crops_of_difference(watch.main.frames)
        picture = sheet(watch.main.frames, films.labels, boxes, stretch=float(films.pixel_aspect))
        write_atomically(output / "compare.png", encode_png(picture))
        page = comparison_page(films, watch, boxes, title="Comparison")
        write_atomically(output / "compare.html", page.encode())
    return Comparison(output, watch.main.number)


def parse_crop(text: str) -> Box:
    """Return the box of `X,Y,W,H`; ConfigError if it is not four whole numbers."""
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdigit() for part in parts):
        raise ConfigError(f"crop {text} is not understood; it is X,Y,W,H in whole pixels")
    x, y, w, h = (int(part) for part in parts)
    return x, y, w, h


def _check_crop(crop: Box | None, size: tuple[int, int]) -> None:
    if crop is None:
        return
    x, y, w, h = crop
    if min(x, y) < 0 or min(w, h) < 1 or x + w > size[0] or y + h > size[1]:
        raise ConfigError(
            f"crop {x},{y},{w},{h} does not lie inside the {size[0]}x{size[1]} pixels of the film"
        )


def _row(films: Films, crop: Box | None) -> int:
    """The row of the temporal profiles: through the middle of the crop, or of the frame."""
    return films.size[1] // 2 if crop is None else crop[1] + crop[3] // 2


def _write_side_by_side(films: Films, watch: Watch, video: Path) -> None:
    """Write the video of all frames, which `watch` sees on their way."""
    blank: list[Picture] = [np.zeros((films.size[1], films.size[0], 3), np.uint8)]
    height, width = side_by_side(blank * len(films.films), films.labels).shape[:2]
    write_video(
        _sheets(films, watch),
        video,
        source=films.canvas_info(),
        size=(width, height),
        settings=EncoderSettings(codec="x264", crf=18, pix_fmt="yuv420p"),
        overwrite=True,
    )


def _sheets(films: Films, watch: Watch) -> Iterator[tuple[Picture, int]]:
    for pts, frames in watch.frames():
        yield side_by_side(frames, films.labels), pts
