"""Everything that decides the bytes of an output: a run continues only if all of it is equal."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from vsr.config import UpscaleConfig
from vsr.errors import InputError, ModelError
from vsr.video.images import list_images

Identity = Mapping[str, Any]
"""Names, as messages show them, and values that JSON holds."""

VERSION = "version of vsr"
"""The name that marks a stored identity as one of vsr."""

_CHUNK = 1 << 20
_PIECES, _PIECE_BYTES = 256, 1 << 18
"""Sources of at most 64 MB are hashed whole, larger ones by evenly spaced pieces."""
_WITHOUT_EFFECT = (
    *("name", "recursive", "without", "overwrite", "tolerant", "restart", "allow_playlists"),
)
_LIBRARIES = ("av", "numpy", "opencv-python-headless", "torch", "torchvision")
"""Packages whose versions decide the bytes: decoders, encoders, optical flow, kernels."""
_BY_CONTENT = (
    *("model", "texture", "preset", "flow_weights", "device", "dtype"),
    *("colour_references", "masks", "lora"),
)
"""Options that are names: the content of what they name is in the identity instead."""


def source_identity(path: Path) -> Identity:
    """Return size and hash of a video, or of the pictures of a folder.

    Of large files only pieces are hashed, and the time of their last change is returned too.
    """
    pieces = 2 if path.is_dir() else _PIECES
    try:
        files = source_files(path)
        stats = [file.stat() for file in files]
        digest = hashlib.sha256()
        for file, stat in zip(files, stats, strict=True):
            digest.update(os.fsencode(f"{file.name if path.is_dir() else ''} {stat.st_size}\n"))
            _hash_pieces(file, stat.st_size, pieces, digest.update)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    large = [stat.st_mtime_ns for stat in stats if stat.st_size > pieces * _PIECE_BYTES]
    return {
        "size of the source": sum(stat.st_size for stat in stats),
        "content of the source": digest.hexdigest(),
        "time of change of the source": sum(large) if large else None,
    }


def source_files(path: Path) -> tuple[Path, ...]:
    """Return a video itself, or the pictures of a folder."""
    return list_images(path) if path.is_dir() else (path,)


def files_identity(name: str, path: Path | None) -> Identity:
    """Return the hash of a file, or of all files in a folder but Markdown, as content of `name`."""
    if path is None:
        return {f"content of {name}": None}
    digest = hashlib.sha256()
    try:
        for file in _files(path):
            digest.update(os.fsencode(f"{file.relative_to(path).as_posix()}\n"))
            with file.open("rb") as opened:
                while chunk := opened.read(_CHUNK):
                    digest.update(chunk)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    return {f"content of {name}": digest.hexdigest()}


def options_identity(config: UpscaleConfig, *, version: str) -> Identity:
    """Return the versions and every option that decide the bytes of the output."""
    names = [field.name for field in fields(config)]
    chosen = [name for name in names if name not in _WITHOUT_EFFECT + _BY_CONTENT]
    values = {name: getattr(config, name) for name in chosen}
    return {VERSION: version, **_library_versions(), **json.loads(json.dumps(values))}


def differences(old: Identity, new: Identity) -> list[str]:
    """Return the changes in words: `crf was 16 and is 20`."""
    names = dict.fromkeys((*old, *new))
    return [
        f"{name} was {_shown(old.get(name))} and is {_shown(new.get(name))}"
        for name in names
        if old.get(name) != new.get(name)
    ]


@dataclass(frozen=True, slots=True)
class SourceGuard:
    """Detects a source that is replaced, changed or removed while it is read."""

    path: Path
    _marks: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, path: Path) -> "SourceGuard":
        """Remember the source as it is now."""
        return cls(path, _marks(path))

    def check(self) -> None:
        """Raise InputError if the source is no longer the same file."""
        if _marks(self.path) != self._marks:
            raise InputError(
                f"{self.path} was changed or replaced while it was read: bring it back and run the "
                "same command again, or give --restart to start again with the new file"
            )


def _library_versions() -> dict[str, str | None]:
    """Return the version of each library that decides bytes; None if it is not installed so."""
    found = dict[str, str | None]()
    for name in _LIBRARIES:
        try:
            found[f"version of {name}"] = version_of(name)
        except PackageNotFoundError:
            found[f"version of {name}"] = None
    return found


def _marks(path: Path) -> tuple[tuple[int, ...], ...]:
    """Return inode, size and time of change of a file, or of the pictures of a folder."""
    try:
        stats = [file.stat() for file in source_files(path)]
    except OSError as error:
        raise InputError(
            f"{path} cannot be read any more: {error.strerror or error}; run the same command "
            "again when it can"
        ) from error
    return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats)


def _hash_pieces(path: Path, size: int, pieces: int, update: Callable[[bytes], None]) -> None:
    """Pass a small file whole to `update`, and evenly spaced pieces of a large one."""
    if size <= pieces * _PIECE_BYTES:
        places, length = [0], size
    else:
        length = _PIECE_BYTES
        places = [(size - length) * i // (pieces - 1) for i in range(pieces)]
    with path.open("rb") as file:
        for place in places:
            file.seek(place)
            update(file.read(length))


def _files(path: Path) -> Iterable[Path]:
    if not path.is_dir():
        return [path]
    found = [file for file in path.rglob("*") if file.is_file() and file.suffix != ".md"]
    return sorted(file for file in found if not file.name.startswith("."))


def _shown(value: Any) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."
