"""What survives a crash: files that are whole or not there, and lines that say which are right."""

import hashlib
import json
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Any

from vsr.errors import OutputError

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file by its name, with the size and hash that it has when it is whole."""

    name: str
    size: int
    sha256: str

    def is_there(self, folder: Path) -> bool:
        """Whether there is a file of that name and size."""
        try:
            return (folder / self.name).stat().st_size == self.size
        except OSError:
            return False

    def is_whole(self, folder: Path) -> bool:
        """Whether the file is there, as it was written."""
        return self.is_there(folder) and _sha256(folder / self.name) == self.sha256


@dataclass(frozen=True, slots=True)
class ClipFact:
    """A clip is finished: its frames begin at frame `first` of the shot.

    `state` is what the next clip begins with. None: such a file is not needed any more.
    """

    first: int
    frames: int
    state: StoredFile | None
    pixels: StoredFile | None = None


@dataclass(frozen=True, slots=True)
class PartFact:
    """A part is closed: encoded frames from frame `first` of the shot on; `delay` as Part's."""

    first: int
    frames: int
    delay: int
    part: StoredFile


@dataclass(frozen=True, slots=True)
class EndFact:
    """The shot has so many frames, and all are in parts."""

    frames: int


Fact = ClipFact | PartFact | EndFact
_KINDS: dict[str, type[Fact]] = {"clip": ClipFact, "part": PartFact, "end": EndFact}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_FILES = ("state", "pixels", "part")


class HashingFile:
    """What is written goes into a file and into its hash."""

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
        """What was written so far, under a name."""
        return StoredFile(name, self.size, self._hash.hexdigest())


@contextmanager
def durable_file(path: Path) -> Generator[HashingFile]:
    """A file that gets its name, whole and on the disk, when the context ends well.

    Should a power cut take the name back, the fact that tells of the file is worth nothing, and
    what it held is made again. Two processes that write the same under one name do no harm. Raises
    OutputError where the disk is full or takes nothing.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with partial.open("wb") as file:
            yield HashingFile(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise write_error(path, error) from error
        raise


def write_durably(path: Path, content: bytes) -> StoredFile:
    """Write a whole file as `durable_file` does."""
    with durable_file(path) as file:
        file.write(content)
    return file.stored(path.name)


def write_error(path: Path, error: OSError) -> OutputError:
    """What to tell the user of a file that cannot be written: the work before it is kept."""
    return OutputError(
        f"{path} cannot be written: {error.strerror or error}; what is finished is kept: run the "
        "same command again when there is room"
    )


class Journal:
    """Facts, appended to a file line by line; each is on the disk before `append` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, *facts: Fact) -> None:
        """Add facts; OutputError where the disk takes none."""
        append_line(self.path, *(_to_json(fact) for fact in facts))


def append_line(path: Path, *lines: str) -> None:
    """Append whole lines to a file and bring them to the disk, as `Journal.append` does."""
    data = "".join(f"{line}\n" for line in lines).encode()
    try:
        with path.open("ab", buffering=0) as file:
            if file.tell() and not _ends_with_a_line(path):
                file.write(b"\n")  # after a line that was torn by a crash
            file.write(data)
            os.fsync(file.fileno())
    except OSError as error:
        raise write_error(path, error) from error


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects in a file, one a line; a torn line is none."""
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


def read_facts(paths: Iterable[Path]) -> list[Fact]:
    """All facts in the files; those that several processes wrote come once."""
    facts = dict.fromkeys(
        _from_json(line) for path in paths for line in read_lines(path) if "fact" in line
    )
    return list(facts)


def _to_json(fact: Fact) -> str:
    return json.dumps({"fact": _NAMES[type(fact)], **asdict(fact)})


def _from_json(line: dict[str, Any]) -> Fact:
    fields = {key: value for key, value in line.items() if key != "fact"}
    for name in _FILES:
        if fields.get(name) is not None:
            fields[name] = StoredFile(**fields[name])
    return _KINDS[line["fact"]](**fields)


def _ends_with_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
