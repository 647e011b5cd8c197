"""The journal of a shot: lines on the disk that say which files are finished and whole."""

import hashlib
import json
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Any

from vsr.errors import OutputError
from vsr.runtime.files import append_lines, atomic_file, flush_entries

_CHUNK = 1 << 20
_MOST = 1 << 48
_BARE_NAME = re.compile(r"\w[\w.]*")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A finished file: its bare name, its size and its hash.

    Raises ValueError for a path and for values of other types, since journals may be of others.
    """

    name: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        if not _BARE_NAME.fullmatch(self.name):
            raise ValueError(f"{self.name} is not the name of a file in the folder of a shot")
        _check_counts(self.size)

    def is_there(self, folder: Path) -> bool:
        """Return whether there is a file of that name and size."""
        try:
            return (folder / self.name).stat().st_size == self.size
        except OSError:
            return False

    def is_whole(self, folder: Path) -> bool:
        """Return whether the file is there as it was written."""
        return self.is_there(folder) and _sha256(folder / self.name) == self.sha256


@dataclass(frozen=True, slots=True)
class ClipFact:
    """A clip is finished: its frames begin at frame `first` of the shot.

    `state` is what the next clip begins with. A file that is no longer needed is None.
    """

    first: int
    frames: int
    state: StoredFile | None
    pixels: StoredFile | None = None

    def __post_init__(self) -> None:
        _check_counts(self.first, self.frames)


@dataclass(frozen=True, slots=True)
class PartFact:
    """A part is closed: encoded frames from frame `first` of the shot on; `delay` as Part's."""

    first: int
    frames: int
    delay: int
    part: StoredFile

    def __post_init__(self) -> None:
        _check_counts(self.first, self.frames, self.delay)


@dataclass(frozen=True, slots=True)
class EndFact:
    """The number of frames of a shot that are all in parts."""

    frames: int

    def __post_init__(self) -> None:
        _check_counts(self.frames)


Fact = ClipFact | PartFact | EndFact
_KINDS: dict[str, type[Fact]] = {"clip": ClipFact, "part": PartFact, "end": EndFact}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_FILES = ("state", "pixels", "part")


class HashingFile:
    """A file that hashes all that is written to it."""

    def __init__(self, file: BufferedWriter) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        """Write all of `data` and return its length."""
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    def stored(self, name: str) -> StoredFile:
        """Return size and hash of what was written so far, under a name."""
        return StoredFile(name, self.size, self._hash.hexdigest())


@contextmanager
def stored_file(path: Path) -> Generator[HashingFile]:
    """Give a file that appears under its name, complete and on the disk, if the context succeeds.

    A power cut may take the name back: then the fact that names the file counts for nothing, and
    its content is made again. Raises OutputError if the disk is full or cannot be written.
    """
    try:
        with atomic_file(path) as partial, partial.open("wb") as file:
            yield HashingFile(file)
    except OSError as error:
        raise write_error(path, error) from error


def store_bytes(path: Path, content: bytes) -> StoredFile:
    """Write a whole file as `stored_file` does."""
    with stored_file(path) as file:
        file.write(content)
    return file.stored(path.name)


def write_error(path: Path, error: OSError) -> OutputError:
    """Return the error for a file that cannot be written: the work before it is kept."""
    return OutputError(
        f"{path} cannot be written: {error.strerror or error}; what is finished is kept: run the "
        "same command again when there is room"
    )


def damage_error(path: Path) -> OutputError:
    """Return the error for finished work that cannot be used, though its hash is right."""
    return OutputError(
        f"{path} is damaged, or another program wrote it: start again with --restart"
    )


class Journal:
    """Facts in a file, one a line; each is on the disk before `append` returns.

    `check` runs before each line is written. It raises OutputError if the folder of the run is no
    longer the one that this process has locked.
    """

    def __init__(self, path: Path, check: Callable[[], None]) -> None:
        """Open a journal; the file is created if it is missing."""
        self.path = path
        self._check = check
        try:
            path.touch()
            flush_entries(path.parent)  # the folder of the shot is new in it too
        except OSError as error:
            raise write_error(path, error) from error

    def append(self, *facts: Fact) -> None:
        """Add facts. Raises OutputError if the disk is full, or the journal was removed."""
        self._check()
        try:
            append_lines(self.path, *(_to_json(fact) for fact in facts))
        except OSError as error:
            raise write_error(self.path, error) from error


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects in a file, one a line; a torn line counts for nothing."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except (FileNotFoundError, NotADirectoryError):
        return
    for line in lines:
        try:
            found = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def read_facts(path: Path) -> list[Fact]:
    """Return the facts in a journal; a line that is no fact counts for nothing."""
    found = (_from_json(line) for line in read_lines(path))
    return list(dict.fromkeys(fact for fact in found if fact is not None))


def _to_json(fact: Fact) -> str:
    return json.dumps({"fact": _NAMES[type(fact)], **asdict(fact)})


def _from_json(line: dict[str, Any]) -> Fact | None:
    """Return the fact of a line; None for a line of another kind, or that names a path."""
    fields = {key: value for key, value in line.items() if key != "fact"}
    try:
        for name in _FILES:
            if fields.get(name) is not None:
                fields[name] = StoredFile(**fields[name])
        return _KINDS[line["fact"]](**fields)
    except (KeyError, TypeError, ValueError):
        return None


def _check_counts(*numbers: Any) -> None:
    if not all(type(number) is int and 0 <= number < _MOST for number in numbers):
        raise ValueError(f"{numbers} are not all numbers of frames or bytes")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
