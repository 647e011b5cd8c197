"""A row of a manifest: one clip, and what is known of it."""

import dataclasses
import hashlib
import typing
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal

from vsr.errors import ConfigError

Kind = Literal["image", "video"]
Split = Literal["train", "validation", "test"]
Bars = tuple[int, int, int, int]
"""Rows and columns of black at the top, the bottom, the left and the right, in pixels."""


@dataclass(frozen=True, slots=True)
class ClipRow:
    """A picture, or frames of a video without a cut among them; what was not measured is None.

    Frames are `first_frame` up to, not with, `end_frame`, shown in [`start`, `end`) seconds from
    the first frame of the file. `motion` is the mean length of the optical flow in per mille of
    the frame's longer side, from frame to frame. `sharpness` is in grey levels and `text` a share
    of the area (`vsr.training.preparation.measure`); `phash` is 64 bits as 16 hexadecimal digits.
    """

    source: str
    """The file, relative to the manifest's root, with forward slashes."""
    kind: Kind
    split: Split
    file_bytes: int
    modified_ns: int
    """Time of the file's last change; with its size it tells whether it is still the same."""
    width: int
    height: int
    first_frame: int = 0
    end_frame: int = 1
    start: Fraction = Fraction(0)
    end: Fraction = Fraction(0)
    rate: Fraction | None = None
    """Frames per second on average; None for pictures."""
    shot: int | None = None
    """Its number in the video; None before the video was searched for cuts."""
    motion: float | None = None
    sharpness: float | None = None
    bar_top: int | None = None
    bar_bottom: int | None = None
    bar_left: int | None = None
    bar_right: int | None = None
    text: float | None = None
    phash: str | None = None
    caption: str | None = None
    kept: bool = True
    reason: str = ""
    """Why the row is not kept."""

    def __post_init__(self) -> None:
        source = Path(self.source)
        inside = bool(self.source) and not source.is_absolute() and ".." not in source.parts
        _require(inside, "source", self.source, "a path below the root")
        for name in ("width", "height"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        _require(self.first_frame >= 0, "first_frame", self.first_frame, "at least 0")
        _require(
            self.end_frame > self.first_frame, "end_frame", self.end_frame, "above first_frame"
        )
        _require(self.start >= 0, "start", self.start, "at least 0")
        moving = self.kind == "video"
        _require(not moving or self.end > self.start, "end", self.end, "later than start")
        _require(self.rate is None or self.rate > 0, "rate", self.rate, "above 0")
        top, bottom, left, right = bars = self.bars
        _require(min(bars) >= 0, "bar_top to bar_right", bars, "at least 0")
        _require(top + bottom < self.height, "bar_bottom", bottom, "less than the picture")
        _require(left + right < self.width, "bar_right", right, "less than the picture")

    @property
    def key(self) -> str:
        """Unique name of the row in its manifest."""
        return f"{self.source}#{self.first_frame}-{self.end_frame}"

    @property
    def place(self) -> tuple[str, int, int]:
        """Its place in the order of a manifest, unique as the key is."""
        return self.source, self.first_frame, self.end_frame

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.end_frame - self.first_frame

    @property
    def bars(self) -> Bars:
        """The black bars; none where they were not measured."""
        sides = (self.bar_top, self.bar_bottom, self.bar_left, self.bar_right)
        return typing.cast(Bars, tuple(side or 0 for side in sides))

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height inside the black bars."""
        top, bottom, left, right = self.bars
        return self.width - left - right, self.height - top - bottom


def hashed_split(source: str, shares: dict[Split, float]) -> Split:
    """The split of a file by a hash of its name: it stays when files come and go.

    `shares` are those of validation and test, for example 0.05; the rest is train.
    """
    digest = hashlib.sha256(source.encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    for split, share in shares.items():
        if place < share:
            return split
        place -= share
    return "train"


def row_to_plain(row: ClipRow) -> dict[str, Any]:
    """The row as plain values by its columns' names, as JSON and parquet have them."""
    return {name: _to_plain(getattr(row, name)) for name in columns()}


def row_from_plain(values: dict[str, Any]) -> ClipRow:
    """The row of plain values; raises ConfigError that names the column of a wrong one."""
    values = dict(values)
    for name, allowed in {"kind": typing.get_args(Kind), "split": typing.get_args(Split)}.items():
        _require(values[name] in allowed, name, values[name], f"one of {', '.join(allowed)}")
    for name, kind in columns().items():
        if kind is Fraction and values[name] is not None:
            values[name] = _fraction(name, values[name])
        elif values[name] is None and not is_optional(name):
            raise ConfigError(f"column {name} is empty")
    return ClipRow(**values)


@cache
def columns() -> dict[str, type]:
    """Names of the columns with their plain types, `X | None` as X."""
    hints = typing.get_type_hints(ClipRow)
    return {f.name: _without_none(hints[f.name]) for f in dataclasses.fields(ClipRow)}


@cache
def is_optional(name: str) -> bool:
    """True if a row may lack the column's value."""
    return NoneType in typing.get_args(typing.get_type_hints(ClipRow)[name])


def _fraction(name: str, text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ConfigError(f"column {name} is {text!r}; it must be a fraction: 30000/1001") from None


def _without_none(hint: Any) -> type:
    if typing.get_origin(hint) is Literal:
        return str
    kinds = [kind for kind in typing.get_args(hint) if kind is not NoneType]
    return kinds[0] if kinds else hint


def _to_plain(value: Any) -> Any:
    return str(value) if isinstance(value, Fraction) else value


def _require(right: bool, column: str, value: object, allowed: str) -> None:
    if not right:
        raise ConfigError(f"column {column} is {value!r}; it must be {allowed}")
