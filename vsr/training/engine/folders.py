"""Folders that are replaced whole: a crash at any instant leaves the old one or the new one."""

import os
import shutil
from pathlib import Path

_SET_ASIDE = ".replaced_"
_REMOVED = ".removed_"


def put_in_place(partial: Path, target: Path) -> None:
    """Flush a finished folder to the disk and rename it to `target`, which it may replace.

    The old folder is renamed first and removed last. A crash in between leaves it under its
    second name, by which `current_folder` finds it.
    """
    _flush(partial)
    aside = target.with_name(_SET_ASIDE + target.name)
    if target.exists():
        remove_folder(aside)
        target.rename(aside)
    partial.rename(target)
    _flush_entries(target.parent)
    remove_folder(aside)


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


def _flush(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _flush_entries(folder)


def _flush_entries(folder: Path) -> None:
    """Flush the names in a folder, where the system can open folders."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
