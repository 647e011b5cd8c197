"""Manifests: the clips to train on, as one parquet file or as a folder of parquet parts."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import chain, count, pairwise
from pathlib import Path

from vsr.errors import ConfigError, InputError, as_output_error
from vsr.runtime.files import atomic_folder, current_folder
from vsr.training.data.clip_row import ClipRow, Kind, Split
from vsr.training.data.manifest_file import (
    GROUP_ROWS,
    RowGroup,
    batched,
    open_file,
    read_group,
    write_file,
)

FILE_SUFFIX = ".parquet"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Rows in the order of their sources and frames, each once, and the folder that holds them."""

    root: Path
    rows: tuple[ClipRow, ...]

    def __post_init__(self) -> None:
        ordered = sorted(self.rows, key=lambda row: row.place)
        for row, after in pairwise(ordered):
            if row.key == after.key:
                raise InputError(f"the manifest has the clip {row.key} twice; remove one of them")
        object.__setattr__(self, "rows", tuple(ordered))

    def __iter__(self) -> Iterator[ClipRow]:
        return iter(self.rows)

    def path(self, row: ClipRow) -> Path:
        """Path of the row's file."""
        return self.root / row.source

    def select(self, *, kind: Kind | None = None, split: Split | None = None) -> list[ClipRow]:
        """The kept rows, of one kind or split only where one is given."""
        return list(select(self, kind=kind, split=split))


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest on disk: iterating reads its rows in the order of a Manifest.

    Memory holds the groups of rows whose sources overlap: one, where a command of vsr wrote it.
    """

    path: Path
    root: Path
    groups: tuple[RowGroup, ...]

    def __len__(self) -> int:
        return sum(group.rows for group in self.groups)

    def __iter__(self) -> Iterator[ClipRow]:
        before: tuple[ClipRow, Path] | None = None
        for row, path in _merged(self.groups):
            if before is not None and before[0].place == row.place:
                raise _twice(row, self.path, {before[1], path})
            before = row, path
            yield row


def select(
    rows: Iterable[ClipRow], *, kind: Kind | None = None, split: Split | None = None
) -> Iterator[ClipRow]:
    """The kept rows, of one kind or split only where one is given."""
    for row in rows:
        if row.kept and kind in (None, row.kind) and split in (None, row.split):
            yield row


def manifest_exists(path: Path) -> bool:
    """True if there is a file or a folder of this name."""
    return current_folder(path).exists()


def open_manifest(path: Path, *, root: Path | None = None) -> StoredManifest:
    """The manifest in a parquet file or in a folder of such files; `root` replaces the named one.

    Columns that it does not know are left alone. Raises InputError that names the file and the
    column for a file that is no manifest, and another schema; a row with an impossible value, a
    damaged group and a clip that is there twice raise it when they are read.
    """
    path = current_folder(path)
    if not path.exists():
        raise InputError(f"no manifest {path}; vsr data probe makes one")
    parts = _parts(path) if path.is_dir() else [path]
    files = {part: open_file(part) for part in parts}
    named = {part: (part.absolute().parent / file.root).resolve() for part, file in files.items()}
    for part, after in pairwise(parts):
        if root is None and named[part] != named[after]:
            raise InputError(
                f"{part} has clips below {named[part]}, but {after} below {named[after]}; make "
                "the parts of a manifest with one folder of videos"
            )
    found = root or parts[0].absolute().parent / files[parts[0]].root
    return StoredManifest(path, found, tuple(chain(*(files[part].groups for part in parts))))


def read_manifest(path: Path) -> Manifest:
    """All rows of a manifest in memory; checked as `open_manifest` does."""
    stored = open_manifest(path)
    return Manifest(stored.root, tuple(stored))


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest, complete or not at all; the same rows give the same bytes."""
    write_rows(path, manifest, root=manifest.root)


def write_rows(path: Path, rows: Iterable[ClipRow], *, root: Path) -> None:
    """Write rows in the order of a manifest, complete or not at all, as they come.

    `path` becomes a file if it is one or ends in .parquet, otherwise a folder of parts.
    """
    if not path.is_dir() and (path.is_file() or path.suffix == FILE_SUFFIX):
        write_file(path, rows, root=_root_name(root, path.absolute().parent))
        return
    with as_output_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(path) as folder:
            write_part(folder, 0, (), root=root)  # names the root even where no row follows
            for number, some in enumerate(batched(rows, GROUP_ROWS)):
                write_part(folder, number, some, root=root)


def write_part(folder: Path, number: int, rows: Sequence[ClipRow], *, root: Path) -> Path:
    """Write a part of a manifest that is a folder, complete or not at all; returns its path."""
    path = part_path(folder, number)
    name = _root_name(root, folder.absolute().parent)
    write_file(path, rows, root=name if Path(name).is_absolute() else f"../{name}")
    return path


def part_path(folder: Path, number: int) -> Path:
    """Path of a part of a manifest that is a folder."""
    return folder / f"part-{number:05d}{FILE_SUFFIX}"


def require_rows(rows: Sequence[object], path: Path, what: str) -> None:
    """Raise ConfigError where there are no rows to train on, and say what the manifest has."""
    if not rows:
        raise ConfigError(
            f"{path} has no kept clips {what}; see its columns kept, reason and split, or make "
            "it again by vsr data probe and vsr data filter"
        )


def _merged(groups: Iterable[RowGroup]) -> Iterator[tuple[ClipRow, Path]]:
    """Rows in order with their files; a group is read when the order comes to its first source."""
    waiting = deque(sorted(groups, key=lambda group: group.first_source))
    heads: list[tuple[tuple[str, int, int], int, ClipRow, Iterator[ClipRow], Path]] = []
    numbers = count()

    def push(rows: Iterator[ClipRow], path: Path) -> None:
        if row := next(rows, None):
            heappush(heads, (row.place, next(numbers), row, rows, path))

    while waiting or heads:
        while waiting and (not heads or waiting[0].first_source <= heads[0][2].source):
            group = waiting.popleft()
            push(iter(read_group(group)), group.path)
        if heads:
            _, _, row, rows, path = heappop(heads)
            yield row, path
            push(rows, path)


def _parts(folder: Path) -> list[Path]:
    parts = sorted(p for p in folder.glob(f"*{FILE_SUFFIX}") if not p.name.startswith("."))
    if not parts:
        raise InputError(f"{folder} has no parts of a manifest; vsr data probe makes them")
    return parts


def _root_name(root: Path, folder: Path) -> str:
    root = root.absolute()
    inside = root.is_relative_to(folder)
    return root.relative_to(folder).as_posix() if inside else str(root)


def _twice(row: ClipRow, manifest: Path, paths: set[Path]) -> InputError:
    if len(paths) == 1:
        return InputError(f"{manifest} has the clip {row.key} twice; remove one of them")
    first, second = sorted(paths)
    return InputError(
        f"{first} and {second} both have the clip {row.key}; remove one of the parts and run "
        "vsr data probe again"
    )
