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

_ROW = 1920  # pixels: all crops of a moment together, so that they fit a screen
_WIDEST_CROP = 640


def write_preview(films: Sequence[Film], *, page: Path, picture: Path, title: str) -> None:
    """Write a page with the slider, and a picture with 1:1 crops of three moments.

    Moments and crops are those that differ most. An OSError means that a file cannot be written.
    """
    shown = Films.of(films)
    watch = Watch(shown, row=shown.size[1] // 2)
    watch.see_all()
    rows = [list(_crops(shown, moment)) for moment in watch.moments]
    write_atomically(picture, encode_png(crop_rows(rows)))
    boxes = crops_of_difference(watch.main.frames)
    write_atomically(page, comparison_page(shown, watch, boxes, title=title).encode())


def _crops(films: Films, moment: Moment) -> Iterator[tuple[str, Picture]]:
    """The label and the crop of each film at a moment."""
    widest = min(_WIDEST_CROP, _ROW // len(films.films))
    width, height = films.size
    size = (min(width, widest), min(height, widest * 3 // 4))
    (box,) = crops_of_difference(moment.frames, 1, size=size)
    for film, frame in zip(films.films, moment.frames, strict=True):
        yield f"{film.name}, {caption(films, moment)}", cropped(frame, box, zoom=1)
