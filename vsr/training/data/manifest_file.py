"""Parquet files of manifest rows: read and written a group of rows at a time."""

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

from vsr.errors import (
    ConfigError,
    DependencyError,
    InputError,
    as_output_error,
    first_line,
    install_extra,
)
from vsr.runtime.files import atomic_file
from vsr.training.data.clip_row import ClipRow, columns, is_optional, row_from_plain, row_to_plain

SCHEMA_VERSION = 1
GROUP_ROWS = 4096
"""Rows of a group, which memory holds at once: some 6 MiB of them."""
_META_VERSION, _META_ROOT = b"vsr.schema_version", b"vsr.root"


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows of a parquet file that are read at once."""

    path: Path
    number: int
    first_row: int
    rows: int
    first_source: str
    """The first source in alphabetical order; "" where the file does not say it."""
    metadata: Any
    """Footer of the file, shared by its groups."""


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """The contents of a parquet file by its footer."""

    root: str
    """The folder of the sources, relative to that of the file, or absolute."""
    groups: tuple[RowGroup, ...]


def open_file(path: Path) -> ManifestFile:
    """Reads the footer of a manifest file.

    Raises InputError that names the file for a damaged one, one that is no manifest, and one of
    another schema.
    """
    arrow, parquet = _pyarrow()
    try:
        with parquet.ParquetFile(path) as file:
            footer, schema = file.metadata, file.schema_arrow
    except (arrow.ArrowException, OSError) as error:
        raise InputError(f"{path} is not a parquet file: {first_line(error)}") from error
    meta: dict[bytes, bytes] = schema.metadata or {}
    version = meta.get(_META_VERSION, b"none").decode()
    if version != str(SCHEMA_VERSION):
        raise InputError(
            f"{path} is no manifest of schema version {SCHEMA_VERSION} (its own: {version}); "
            "make it again by vsr data probe"
        )
    _check_schema(path, schema, _schema(arrow))
    return ManifestFile(meta.get(_META_ROOT, b".").decode(), tuple(_groups(path, footer)))


def read_group(group: RowGroup) -> list[ClipRow]:
    """The rows of a group in the order of a manifest.

    Raises InputError that names the file and the row for an impossible value, and the file where
    it is damaged.
    """
    arrow, parquet = _pyarrow()
    try:
        with parquet.ParquetFile(group.path, metadata=group.metadata) as file:
            table = file.read_row_group(group.number, columns=list(columns()))
    except (arrow.ArrowException, OSError) as error:
        raise InputError(
            f"{group.path} is damaged: {first_line(error)}; restore it, or remove it and run "
            "vsr data probe again"
        ) from error
    plain: list[dict[str, Any]] = table.to_pylist()
    rows = [_row(group, number, values) for number, values in enumerate(plain)]
    return sorted(rows, key=lambda row: row.place)


def write_file(path: Path, rows: Iterable[ClipRow], *, root: str) -> None:
    """Write a manifest file, complete or not at all; the same rows give the same bytes."""
    arrow, parquet = _pyarrow()
    meta = {_META_VERSION: str(SCHEMA_VERSION).encode(), _META_ROOT: root.encode()}
    schema = _schema(arrow).with_metadata(meta)
    with as_output_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as partial, parquet.ParquetWriter(partial, schema) as writer:
            for some in batched(rows, GROUP_ROWS):
                plain = [row_to_plain(row) for row in some]
                writer.write_table(arrow.Table.from_pylist(plain, schema=schema))


def batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """The items in lists of `size`; the last may be shorter."""
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some


def _groups(path: Path, footer: Any) -> Iterator[RowGroup]:
    names = [footer.schema.column(n).path for n in range(footer.num_columns)]
    source, first_row = names.index("source"), 0
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        statistics: Any = group.column(source).statistics
        first = str(statistics.min) if statistics is not None and statistics.has_min_max else ""
        yield RowGroup(path, number, first_row, group.num_rows, first, footer)
        first_row += group.num_rows


def _row(group: RowGroup, number: int, values: dict[str, Any]) -> ClipRow:
    try:
        return row_from_plain(values)
    except ConfigError as error:
        raise InputError(f"{group.path}, row {group.first_row + number}: {error}") from error


def _check_schema(path: Path, found: Any, wanted: Any) -> None:
    for field in wanted:
        if field.name not in found.names:
            raise InputError(f"{path} has no column {field.name!r}")
        given = found.field(field.name)
        if given.type != field.type:
            raise InputError(
                f"{path}: column {field.name!r} holds {given.type}; it must hold {field.type}"
            )


def _schema(arrow: Any) -> Any:
    kinds = {
        str: arrow.string(),
        int: arrow.int64(),
        float: arrow.float64(),
        bool: arrow.bool_(),
        Fraction: arrow.string(),
    }
    return arrow.schema(
        [arrow.field(name, kinds[kind], is_optional(name)) for name, kind in columns().items()]
    )


def _pyarrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DependencyError(
            "manifests are parquet files, read with pyarrow, which is not installed: "
            f"{install_extra('train')}"
        ) from error
