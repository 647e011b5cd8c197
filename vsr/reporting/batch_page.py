"""The index page of a batch: what became of each film, with links to their pages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from vsr.reporting.films import Picture, resized
from vsr.reporting.page import block, image, page, warnings_block
from vsr.runtime.files import write_atomically

_THUMBNAIL = 160  # pixels across


@dataclass(frozen=True, slots=True)
class FilmEntry:
    """A film of the batch: its name, what became of it, and a picture of the output.

    `page` is the path of its page, relative to the index; None where it has none.
    """

    name: str
    state: str
    page: str | None = None
    picture: Picture | None = None


def write_batch_page(
    path: Path, films: Sequence[FilmEntry], warnings: Sequence[str], *, title: str, summary: str
) -> None:
    """Write the index. An OSError means that it cannot be written."""
    write_atomically(path, page(title, summary, list(_blocks(films, warnings))).encode())


def _blocks(films: Sequence[FilmEntry], warnings: Sequence[str]) -> Iterator[str]:
    yield block("Films", "", f'<ul class="films-made">{"".join(map(_card, films))}</ul>')
    yield warnings_block(warnings)


def _card(film: FilmEntry) -> str:
    name = escape(film.name)
    link = name if film.page is None else f'<a href="{quote(film.page)}">{name}</a>'
    shown = "" if film.picture is None else image(_thumbnail(film.picture), "")
    return f"<li><div>{shown}</div><div><h3>{link}</h3><p>{escape(film.state)}</p></div></li>"


def _thumbnail(picture: Picture) -> Picture:
    height = max(1, round(_THUMBNAIL * picture.shape[0] / picture.shape[1]))
    return resized(picture, (_THUMBNAIL, height))
