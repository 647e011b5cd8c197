"""Self-contained HTML pages: sections with pictures, charts and tables; they load nothing."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from vsr.reporting.films import Picture
from vsr.video.images import encode_png

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a sentence that explains it, and pictures with their captions.

    Pictures stand beside each other; with `is_stacked` they stand below each other, at full width.
    `stretch` is the width of their pixels over the height.
    """

    title: str
    text: str
    figures: tuple[tuple[str, Picture], ...]
    is_stacked: bool = False
    stretch: float = 1.0

    def __str__(self) -> str:
        return block(self.title, self.text, self.figures_html())

    def figures_html(self) -> str:
        """Return the pictures alone, for a section that has more to show."""
        kind = "stack" if self.is_stacked else "grid"
        figures = "".join(
            _figure(f"{self.title}: {caption}", caption, picture, self.stretch)
            for caption, picture in self.figures
        )
        return f'<div class="{kind}">{figures}</div>'


def page(title: str, subtitle: str, body: Sequence[str], *, script: bool = False) -> str:
    """Return a page of blocks of HTML; with `script` for the viewer, which it must contain."""
    code = f"<script>{_read('viewer.js')}</script>" if script else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_read('page.css')}</style></head>\n"
        f"<body><main><header><h1>{escape(title)}</h1><p>{escape(subtitle)}</p></header>\n"
        f"{''.join(body)}</main>{code}</body></html>\n"
    )


def block(title: str, text: str, content: str) -> str:
    """Return a section of HTML with a heading and a sentence; `content` is HTML."""
    said = f"<p>{escape(text)}</p>" if text else ""
    return f"<section><h2>{escape(title)}</h2>{said}{content}</section>\n"


def warnings_block(lines: Sequence[str]) -> str:
    """Return the section that lists the warnings of a run."""
    warned = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return block("Warnings", "" if warned else "There were none.", f"<ul>{warned}</ul>")


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column names the rows; it scrolls where it is too wide."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    lines = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        f"{''.join(f'<td>{escape(cell)}</td>' for cell in rest)}</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="Table"><table><thead><tr>{head}'
        f"</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def image(picture: Picture, alt: str, attributes: str = "") -> str:
    """Return an image element with the picture in it, every pixel as it is."""
    data = base64.b64encode(encode_png(picture)).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}"{attributes}>'


def _figure(alt: str, caption: str, picture: Picture, stretch: float) -> str:
    height, width = picture.shape[:2]
    shape = f' style="aspect-ratio:{width * stretch:.4g}/{height};width:100%"'
    shown = image(picture, alt, shape if stretch != 1 else "")
    return f"<figure>{shown}<figcaption>{escape(caption)}</figcaption></figure>"


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
