"""Comparison of versions of one film: a picture, a video and a page in a folder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vsr.errors import ConfigError, InputError, OutputError
from vsr.reporting.films import Films, Picture
from vsr.reporting.page import Section, comparison_page
from vsr.reporting.pictures import (
    Box,
    cropped,
    crops_of_difference,
    difference,
    difference_map,
    flow_maps,
    side_by_side,
)
from vsr.runtime.files import write_atomically
from vsr.video.images import encode_png
from vsr.video.writing.encoders import EncoderSettings
from vsr.video.writing.output_file import write_video


@dataclass(frozen=True, slots=True)
class Comparison:
    """The files of a comparison, and the number of the frame that is shown, from 0."""

    folder: Path
    frame: int

    @property
    def page(self) -> Path:
        """The page to open in a browser."""
        return self.folder / "compare.html"

    def __str__(self) -> str:
        return f"frame {self.frame} is shown\n{self.page}"


@dataclass(frozen=True, slots=True)
class _Moment:
    number: int
    frames: tuple[Picture, ...]
    previous: tuple[Picture, ...]


@dataclass(slots=True)
class _Watch:
    """Finds the moment to show and collects a row of pixels of each film, as frames go by.

    `wanted` is the number of the frame to show; None: the one that differs most.
    """

    wanted: int | None
    row: int
    rows: list[list[Picture]]
    moment: _Moment | None = None

    def sheets(self, films: Films) -> Iterator[tuple[Picture, int]]:
        """The films side by side with their pts; InputError if the wanted frame does not exist."""
        worst, number, wanted = -1.0, -1, self.wanted
        previous: tuple[Picture, ...] | None = None
        for number, (pts, frames) in enumerate(films.frames()):
            for lines_of, picture in zip(self.rows, frames, strict=True):
                lines_of.append(picture[self.row].copy())
            score = float(difference(frames).mean()) if wanted is None else float(number == wanted)
            if score > worst and (wanted is None or number == wanted):
                self.moment, worst = _Moment(number, frames, previous or frames), score
            previous = frames
            yield side_by_side(frames, films.labels), pts
        if self.moment is None:
            raise InputError(f"frame {wanted} does not exist: the films have {number + 1} frames")


def compare(
    paths: Sequence[Path], output: Path, *, frame: int | None = None, crop: Box | None = None
) -> Comparison:
    """Write `compare.png`, `compare.mp4` and `compare.html` into `output`, replacing older ones.

    `frame` counts from 0 (None: the one that differs most from the first film). `crop` replaces
    the boxes that differ most.
    """
    films = Films.open(paths)
    _check_crop(crop, films.size)
    if frame is not None and frame < 0:
        raise ConfigError(f"frame must be 0 or more, not {frame}")
    try:
        output.mkdir(parents=True, exist_ok=True)
        row = films.size[1] // 2 if crop is None else crop[1] + crop[3] // 2
        moment, profiles = _watch(films, output / "compare.mp4", frame, row)
        boxes = [crop] if crop else crops_of_difference(moment.frames)
        sheet = side_by_side(moment.frames, films.labels)
        write_atomically(output / "compare.png", encode_png(sheet))
        sections = _sections(films, moment, boxes, profiles, row)
        title = f"Comparison at frame {moment.number}"
        page = comparison_page(title, moment.frames, films.labels, sections)
        write_atomically(output / "compare.html", page.encode())
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror or error}") from error
    return Comparison(output, moment.number)


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


def _watch(
    films: Films, video: Path, wanted: int | None, row: int
) -> tuple[_Moment, list[Picture]]:
    """Write the video; return the moment to show, and a row of pixels over time for each film."""
    columns, lines = len(films.infos), films.size[1]
    blank = np.zeros((lines, films.size[0], 3), np.uint8)
    height, width = side_by_side([blank] * columns, films.labels).shape[:2]
    watch = _Watch(wanted, row, rows=[[] for _ in films.infos])
    write_video(
        watch.sheets(films),
        video,
        source=films.canvas_info(),
        size=(width, height),
        settings=EncoderSettings(codec="x264", crf=18, pix_fmt="yuv420p"),
        overwrite=True,
    )
    assert watch.moment is not None
    return watch.moment, [np.stack(lines_of) for lines_of in watch.rows]


def _sections(
    films: Films, moment: _Moment, boxes: Sequence[Box], profiles: Sequence[Picture], row: int
) -> list[Section]:
    labels, frames = films.labels, moment.frames
    crops = [
        Section(
            f"Crop {x},{y},{w},{h}",
            "Shown at 200 %: each pixel is a square of four.",
            tuple(
                (label, cropped(one, (x, y, w, h)))
                for label, one in zip(labels, frames, strict=True)
            ),
        )
        for x, y, w, h in boxes
    ]
    maps = tuple(
        (f"{label} against {labels[0]}", difference_map(frames[0], other))
        for label, other in zip(labels[1:], frames[1:], strict=True)
    )
    flows = zip(labels, flow_maps(moment.previous, frames), strict=True)
    return [
        *crops,
        Section(
            "Temporal profile",
            f"Row {row} of every frame, from the first frame at the top to the last: smooth lines "
            "are steady, jagged ones flicker.",
            tuple(zip(labels, profiles, strict=True)),
        ),
        Section("Difference", "Absolute difference times 4: dark is equal.", maps),
        Section(
            "Flow",
            "Motion from the frame before, by DIS: hue is direction, brightness is length.",
            tuple(flows),
        ),
    ]
