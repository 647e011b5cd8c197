"""Files and folders that appear complete or not at all, and survive a power cut.

This is the only way in which vsr writes what must not be seen half done: under another name,
flushed to the disk, renamed, and the names in the folder flushed too.
"""

import errno
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_SET_ASIDE = ".replaced_"
_REMOVED = ".removed_"


@contextmanager
def atomic_file(path: Path) -> Generator[Path]:
    """Give a path to write to, in the same folder; it becomes `path` if the context succeeds.

    A file that `path` names is replaced. After an error nothing is left behind.
    """
    partial = _partial(path)
    try:
        yield partial
        put_in_place(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file as `atomic_file` does."""
    with atomic_file(path) as partial:
        partial.write_bytes(content)


@contextmanager
def atomic_folder(path: Path) -> Generator[Path]:
    """Give an empty folder to fill; it becomes `path` if the context succeeds.

    A folder that `path` names is replaced as by `put_in_place`. After an error nothing is left
    behind.
    """
    partial = _partial(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        put_in_place(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def atomic_new_folder(path: Path) -> Generator[Path]:
    """Like `atomic_folder`, but a folder that another process has made meanwhile stays."""
    partial = _partial(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        flush(partial)
        try:
            partial.rename(path)
        except OSError:
            if not path.is_dir():
                raise
        flush_entries(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def put_in_place(partial: Path, target: Path, *, aside: Path | None = None) -> None:
    """Flush a finished file or folder to the disk and rename it to `target`, which it may replace.

    A folder that is replaced is renamed first and removed last. A crash in between leaves it under
    its second name: `aside`, or one beside the target, by which `current_folder` finds it.
    """
    flush(partial)
    if not partial.is_dir():
        partial.replace(target)
        flush_entries(target.parent)
        return
    aside = aside or target.with_name(_SET_ASIDE + target.name)
    if target.exists():
        remove_folder(aside)
        target.rename(aside)
    try:
        partial.rename(target)
    except OSError:
        if aside.is_dir() and not target.exists():
            aside.rename(target)
        raise
    flush_entries(target.parent)
    remove_folder(aside)


def put_new_in_place(partial: Path, target: Path) -> None:
    """Like `put_in_place`, but never replace: raises FileExistsError if `target` exists."""
    flush(partial)
    if target.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    if partial.is_dir():
        partial.rename(target)  # fails where a folder with files in it has come meanwhile
    else:
        try:
            os.link(partial, target)
        except FileExistsError:
            raise
        except OSError:  # a disk without links: between the look above and now is an instant
            partial.rename(target)
        else:
            partial.unlink()
    flush_entries(target.parent)


def current_folder(target: Path) -> Path:
    """Return `target`, or the folder that a crash left aside while `target` was being replaced."""
    aside = target.with_name(_SET_ASIDE + target.name)
    return aside if aside.is_dir() and not target.exists() else target


def current_folders(parent: Path, prefix: str) -> list[Path]:
    """Return the folders whose names begin with `prefix`, sorted by name, as `current_folder`."""
    names = {path.name.removeprefix(_SET_ASIDE) for path in parent.glob(f"{_SET_ASIDE}{prefix}*")}
    names |= {path.name for path in parent.glob(f"{prefix}*")}
    return [current_folder(parent / name) for name in sorted(names)]


def remove_folder(folder: Path) -> None:
    """Remove a folder, if it exists: at no instant is a part of it left under its name."""
    if not folder.exists():
        return
    doomed = folder.with_name(_REMOVED + folder.name)
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)
    shutil.rmtree(doomed)


def remove_leftovers(parent: Path) -> None:
    """Remove the parts of folders that a crash left behind."""
    for path in parent.glob(f"{_REMOVED}*"):
        shutil.rmtree(path)
    for path in parent.glob(f"{_SET_ASIDE}*"):
        if (parent / path.name.removeprefix(_SET_ASIDE)).exists():
            remove_folder(path)


def flush(path: Path) -> None:
    """Flush a file, or a folder with all that is in it, to the disk."""
    if not path.is_dir():
        with path.open("rb" if os.name != "nt" else "r+b") as file:
            os.fsync(file.fileno())
        return
    for entry in path.iterdir():
        flush(entry)
    flush_entries(path)


def flush_entries(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the system can open folders."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append_lines(path: Path, *lines: str) -> None:
    """Append whole lines to a file that exists, on the disk before this returns.

    A line that a crash has torn is ended first. Raises FileNotFoundError if the file is missing.
    """
    data = memoryview("".join(f"{line}\n" for line in lines).encode())
    with path.open("r+b", buffering=0) as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        while data:  # a disk that fills up takes a part, and raises at the next
            data = data[file.write(data) :]
        os.fsync(file.fileno())


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")
