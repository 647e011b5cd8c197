"""Manifests: one parquet file that names the clips to train on, and what is known of each."""

import dataclasses
import hashlib
import importlib
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any, Literal

from vsr.errors import ConfigError, DependencyError, InputError, OutputError, install_extra
from vsr.runtime.files import atomic_file

Kind = Literal["image", "video"]
Split = Literal["train", "validation", "test"]
Bars = tuple[int, int, int, int]
"""Rows and columns of black at the top, the bottom, the left and the right, in pixels."""

SCHEMA_VERSION = 1
_META_VERSION, _META_ROOT = b"vsr.schema_version", b"vsr.root"


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


@dataclass(frozen=True, slots=True)
class Manifest:
    """Rows in the order of their sources and frames, each once, and the folder that holds them."""

    root: Path
    rows: tuple[ClipRow, ...]

    def __post_init__(self) -> None:
        ordered = sorted(self.rows, key=lambda row: (row.source, row.first_frame, row.end_frame))
        for row, after in pairwise(ordered):
            if row.key == after.key:
                raise InputError(f"the manifest has the clip {row.key} twice; remove one of them")
        object.__setattr__(self, "rows", tuple(ordered))

    def path(self, row: ClipRow) -> Path:
        """Path of the row's file."""
        return self.root / row.source

    def select(self, *, kind: Kind | None = None, split: Split | None = None) -> list[ClipRow]:
        """The kept rows, of one kind or split only where one is given."""
        return [
            row
            for row in self.rows
            if row.kept and kind in (None, row.kind) and split in (None, row.split)
        ]

    def with_rows(self, rows: Iterable[ClipRow]) -> "Manifest":
        """The same manifest with other rows."""
        return Manifest(self.root, tuple(rows))


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


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the parquet file, complete or not at all; the same rows give the same bytes."""
    arrow, parquet = _pyarrow()
    folder = path.absolute().parent
    root = manifest.root.absolute()
    inside = root.is_relative_to(folder)
    meta = {
        _META_VERSION: str(SCHEMA_VERSION).encode(),
        _META_ROOT: (root.relative_to(folder).as_posix() if inside else str(root)).encode(),
    }
    rows = [row_to_plain(row) for row in manifest.rows]
    table = arrow.Table.from_pylist(rows, schema=_schema(arrow).with_metadata(meta))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as partial:
            parquet.write_table(table, partial)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def read_manifest(path: Path, *, root: Path | None = None) -> Manifest:
    """The manifest in a parquet file, checked; `root` stands in for the folder it names.

    Columns that it does not know are left alone. Raises InputError that names the file and the
    column for a file that is no manifest, another schema, or an impossible value.
    """
    arrow, parquet = _pyarrow()
    if not path.is_file():
        raise InputError(f"no manifest {path}; vsr data probe makes one")
    try:
        table = parquet.read_table(path)
    except (arrow.ArrowException, OSError) as error:
        raise InputError(f"{path} is not a parquet file: {str(error).splitlines()[0]}") from error
    meta: dict[bytes, bytes] = table.schema.metadata or {}
    version = meta.get(_META_VERSION, b"none").decode()
    if version != str(SCHEMA_VERSION):
        raise InputError(
            f"{path} is no manifest of schema version {SCHEMA_VERSION} (its own: {version}); "
            "make it again by vsr data probe"
        )
    _check_schema(path, table.schema, _schema(arrow))
    plain: list[dict[str, Any]] = table.select(list(_columns())).to_pylist()
    rows = [_row(path, number, values) for number, values in enumerate(plain)]
    named = Path(meta.get(_META_ROOT, b".").decode())
    return Manifest(root or path.absolute().parent / named, tuple(rows))


def row_to_plain(row: ClipRow) -> dict[str, Any]:
    """The row as plain values by its columns' names, as JSON and parquet have them."""
    return {name: _to_plain(getattr(row, name)) for name in _columns()}


def row_from_plain(values: dict[str, Any]) -> ClipRow:
    """The row of plain values; raises ConfigError that names the column of a wrong one."""
    values = dict(values)
    for name, allowed in {"kind": typing.get_args(Kind), "split": typing.get_args(Split)}.items():
        _require(values[name] in allowed, name, values[name], f"one of {', '.join(allowed)}")
    for name, kind in _columns().items():
        if kind is Fraction and values[name] is not None:
            values[name] = _fraction(name, values[name])
        elif values[name] is None and not _optional(name):
            raise ConfigError(f"column {name} is empty")
    return ClipRow(**values)


def require_rows(rows: Sequence[ClipRow], path: Path, what: str) -> None:
    """Raise ConfigError where there are no rows to train on, and say what the manifest has."""
    if not rows:
        raise ConfigError(
            f"{path} has no kept clips {what}; see its columns kept, reason and split, or make "
            "it again by vsr data probe and vsr data filter"
        )


def _row(path: Path, number: int, values: dict[str, Any]) -> ClipRow:
    try:
        return row_from_plain(values)
    except ConfigError as error:
        raise InputError(f"{path}, row {number}: {error}") from error


def _fraction(name: str, text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ConfigError(f"column {name} is {text!r}; it must be a fraction: 30000/1001") from None


def _check_schema(path: Path, found: Any, wanted: Any) -> None:
    for field in wanted:
        if field.name not in found.names:
            raise InputError(f"{path} has no column {field.name!r}")
        given = found.field(field.name)
        if given.type != field.type:
            raise InputError(
                f"{path}: column {field.name!r} holds {given.type}; it must hold {field.type}"
            )


def _columns() -> dict[str, type]:
    """Names of the columns with their plain types, `X | None` as X."""
    hints = typing.get_type_hints(ClipRow)
    return {f.name: _without_none(hints[f.name]) for f in dataclasses.fields(ClipRow)}


def _optional(name: str) -> bool:
    return NoneType in typing.get_args(typing.get_type_hints(ClipRow)[name])


def _without_none(hint: Any) -> type:
    if typing.get_origin(hint) is Literal:
        return str
    kinds = [kind for kind in typing.get_args(hint) if kind is not NoneType]
    return kinds[0] if kinds else hint


def _schema(arrow: Any) -> Any:
    kinds = {
        str: arrow.string(),
        int: arrow.int64(),
        float: arrow.float64(),
        bool: arrow.bool_(),
        Fraction: arrow.string(),
    }
    return arrow.schema(
        [arrow.field(name, kinds[kind], _optional(name)) for name, kind in _columns().items()]
    )


def _to_plain(value: Any) -> Any:
    return str(value) if isinstance(value, Fraction) else value


def _pyarrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DependencyError(
            "manifests are parquet files, read with pyarrow, which is not installed: "
            f"{install_extra('train')}"
        ) from error


def _require(right: bool, column: str, value: object, allowed: str) -> None:
    if not right:
        raise ConfigError(f"column {column} is {value!r}; it must be {allowed}")
