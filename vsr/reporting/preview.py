"""The page and the picture of a preview: the source enlarged, beside what came out of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from vsr.reporting.comparison_page import caption, comparison_page
from vsr.reporting.films import Film, Films, Picture
from vsr.reporting.pictures import cropped, crops_of_difference
from vsr.reporting.sheets import crop_rows
from vsr.reporting.watch import Moment, Watch
from vsr.runtime.files import write_atomically
from vsr.video.images import encode_png

_CROP = (640, 480)  # width and height in pixels: two of them fit a screen


def write_preview(films: Sequence[Film], *, page: Path, picture: Path, title: str) -> None:
    """Write a page with the slider, and a picture with 1:1 crops of three moments.

    Moments and crops are those that differ most. An OSError means that a file cannot be written.
    """
    shown = Films.of(films)
    watch = Watch(shown, row=shown.size[1] // 2)
    for _ in watch.frames():
        pass
    rows = [list(_crops(shown, moment)) for moment in watch.moments]
    write_atomically(picture, encode_png(crop_rows(rows)))
    boxes = crops_of_difference(watch.main.frames)
    write_atomically(page, comparison_page(shown, watch, boxes, title=title).encode())


def _crops(films: Films, moment: Moment) -> Iterator[tuple[str, Picture]]:
    """The label and the crop of each film at a moment."""
    width, height = films.size
    size = (min(width, _CROP[0]), min(height, _CROP[1]))
    (box,) = crops_of_difference(moment.frames, 1, size=size)
    for film, frame in zip(films.films, moment.frames, strict=True):
        yield f"{film.name}, {caption(films, moment)}", cropped(frame, box, zoom=1)
