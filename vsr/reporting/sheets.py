"""Pictures of several films beside each other, with their names, for PNG and MP4."""

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vsr.reporting.films import Picture, resized
from vsr.reporting.pictures import Box, cropped

BAR = 28
"""Height in pixels of the bar with a film's name."""

_FONT = 16
_GROUND, _INK = (20, 20, 23), (240, 240, 244)
_BOX_COLORS = ((255, 92, 92), (90, 200, 120), (96, 160, 255), (250, 190, 60))
_MOST_IN_A_ROW = 3
_WIDEST = 3840  # pixels; players and video chips fail beyond
_SCREEN = 16 / 9
_COLUMN = (480, 960)  # pixels: the least and the greatest width of a film in the sheet
_GAP = 8


def labelled(picture: Picture, label: str) -> Picture:
    """Put a dark bar with the label above a picture; the font has Latin letters without accents."""
    return np.concatenate([_bar(picture.shape[1], label), picture])


def side_by_side(pictures: Sequence[Picture], labels: Sequence[str]) -> Picture:
    """Return labelled pictures beside each other, in rows if they are more than three.

    They shrink to 3840 pixels in all; sides are even, as 4:2:0 video needs them.
    """
    height, width = pictures[0].shape[:2]
    columns = _columns(len(pictures), width / height)
    if columns * width > _WIDEST:
        width, height = _WIDEST // columns, max(2, round(height * _WIDEST / (columns * width)))
    cells = [
        labelled(resized(picture, (width, height)), label)
        for picture, label in zip(pictures, labels, strict=True)
    ]
    return _even(_rows(cells, columns))


def sheet(
    pictures: Sequence[Picture], labels: Sequence[str], boxes: Sequence[Box], *, stretch: float = 1
) -> Picture:
    """Return the films beside each other, and below them the boxes enlarged, each in its colour.

    `stretch` is the width of a pixel over its height.
    """
    height, width = pictures[0].shape[:2]
    column = min(max(width, _COLUMN[0]), _COLUMN[1])
    size = (column, round(column * height / (width * stretch)))
    rows = [
        [
            labelled(resized(_marked(picture, boxes), size), label)
            for picture, label in zip(pictures, labels, strict=True)
        ]
    ]
    for number, box in enumerate(boxes):
        zoom = max(2, column // box[2])
        crops = [_fitted(cropped(one, box, zoom=zoom), column, stretch) for one in pictures]
        rows.append([_framed(crop, _color(number)) for crop in crops])
    return _stacked(rows)


def crop_rows(rows: Sequence[Sequence[tuple[str, Picture]]]) -> Picture:
    """Return rows of labelled pictures of one size, every pixel as it is."""
    return _stacked([[labelled(picture, label) for label, picture in row] for row in rows])


def _stacked(rows: Sequence[Sequence[Picture]]) -> Picture:
    gap = np.full((_GAP, _wide(rows[0]), 3), _GROUND, np.uint8)
    return np.concatenate([part for row in rows for part in (gap, _row(row))][1:])


def _columns(count: int, shape: float) -> int:
    """The number of columns: all films up to three, else the grid that fits a screen best."""
    if count <= _MOST_IN_A_ROW:
        return count
    return min(
        range(2, count + 1),
        key=lambda columns: abs(np.log(columns * shape / -(-count // columns) / _SCREEN)),
    )


def _rows(cells: Sequence[Picture], columns: int) -> Picture:
    empty = np.full_like(cells[0], _GROUND[0])
    padded = [*cells, *[empty] * (-len(cells) % columns)]
    rows = [padded[first : first + columns] for first in range(0, len(padded), columns)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def _row(cells: Sequence[Picture]) -> Picture:
    gap = np.full((cells[0].shape[0], _GAP, 3), _GROUND, np.uint8)
    return np.concatenate([part for cell in cells for part in (gap, cell)][1:], axis=1)


def _wide(cells: Sequence[Picture]) -> int:
    return sum(cell.shape[1] for cell in cells) + _GAP * (len(cells) - 1)


def _even(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)))


def _marked(picture: Picture, boxes: Sequence[Box]) -> Picture:
    """The picture with the outline of each box."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    line = max(2, picture.shape[1] // 300)
    for number, (x, y, w, h) in enumerate(boxes):
        draw.rectangle((x, y, x + w - 1, y + h - 1), outline=_color(number), width=line)
    return np.asarray(image, np.uint8)


def _fitted(crop: Picture, column: int, stretch: float) -> Picture:
    height = max(1, round(crop.shape[0] / stretch)) if stretch != 1 else crop.shape[0]
    if crop.shape[1] == column and height == crop.shape[0]:
        return crop
    return resized(crop, (column, max(1, round(height * column / crop.shape[1]))))


def _framed(crop: Picture, color: tuple[int, int, int]) -> Picture:
    framed = crop.copy()
    edge = 3
    framed[:edge], framed[-edge:], framed[:, :edge], framed[:, -edge:] = (color,) * 4
    return framed


def _color(number: int) -> tuple[int, int, int]:
    return _BOX_COLORS[number % len(_BOX_COLORS)]


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT)


def _bar(width: int, label: str) -> Picture:
    image = Image.new("RGB", (width, BAR), _GROUND)
    parts = unicodedata.normalize("NFKD", label)
    text = "".join(one for one in parts if not unicodedata.combining(one))
    text = text.encode("ascii", "replace").decode()
    ImageDraw.Draw(image).text((8, BAR // 2), text, fill=_INK, font=_font(), anchor="lm")
    return np.asarray(image, np.uint8)
