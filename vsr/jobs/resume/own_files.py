"""The names that vsr uses beside an output: what it may delete, and what is a person's own."""

import logging
import re
from contextlib import suppress
from pathlib import Path

from vsr.errors import OutputError
from vsr.jobs.resume.identity import VERSION
from vsr.jobs.resume.journal import read_lines

_log = logging.getLogger(__name__)

IDENTITY, JOINED = "job.json", "joined.json"
"""The files that mark a folder as one of vsr: its settings, and the proof of a whole output."""

_OWN_FILES = re.compile(
    r"(rank\d+\.lock|rank\d+\.films\.jsonl|(job|run|shots|joined)\.json|(spans|grain)\.jsonl"
    r"|\d{8}(-\d{8})?\.jsonl|\d{8}\.(part|pixels|state)|partial(\.\w+)?|\..*\.partial)"
)
_OUTPUT_FOLDERS = re.compile(r"partial|(\.removed_)?replaced")
"""Folders of pictures: the output while it is joined, and the one that it replaces."""
_SHOT_FOLDER = re.compile(r"\d{8}")


def work_path(output: Path) -> Path:
    """Return the folder in which the finished work of an output is kept."""
    return output.with_name(f"{output.name}.vsr")


def removed_path(output: Path) -> Path:
    """Return the name that the folder has while it is deleted."""
    return output.with_name(f"{output.name}.vsr.old")


def work_places(output: Path) -> tuple[Path, Path]:
    """Return both names of the folder; a run that was killed may have left each."""
    return work_path(output), removed_path(output)


def is_work_folder(folder: Path) -> bool:
    """Return whether a folder has the name of finished work, which is no place for sources."""
    return folder.name.endswith((".vsr", ".vsr.old"))


def require_own(folder: Path) -> None:
    """Raise OutputError if `folder` exists and vsr did not make it: a link, or a person's."""
    if folder.is_symlink() or (folder.exists() and not _is_own(folder)):
        raise OutputError(
            f"{folder}, where finished work is kept, is in the way: vsr did not make it; rename "
            "it, or choose another output"
        )


def delete_work(folder: Path) -> None:
    """Delete a work folder, if it exists, but nothing in it that vsr does not write.

    The file that proves the output complete is the last one.
    """
    if folder.is_symlink() or not _is_own(folder):
        return
    marks = (IDENTITY, JOINED)
    for path in sorted(
        folder.iterdir(), key=lambda path: (path.name in marks, path.name == JOINED)
    ):
        delete_entry(path)
    try:
        folder.rmdir()
    except OSError as error:
        _log.warning("%s stays: it holds files that vsr did not write (%s)", folder, error.strerror)


def is_emptied(output: Path) -> bool:
    """Return whether an output exists whose work was deleted to the last file, the proof."""
    folder = removed_path(output)
    return (
        output.exists()
        and folder.is_dir()
        and not folder.is_symlink()
        and not any(folder.iterdir())
    )


def delete_entry(path: Path) -> None:
    """Delete a file or folder of a work folder, if it is one that vsr writes."""
    is_output = _OUTPUT_FOLDERS.fullmatch(path.name)
    if path.is_dir() and not path.is_symlink() and (is_output or _SHOT_FOLDER.fullmatch(path.name)):
        for file in path.iterdir():
            if _OWN_FILES.fullmatch(file.name) or (is_output and file.suffix == ".png"):
                file.unlink(missing_ok=True)
        with suppress(OSError):
            path.rmdir()
    elif not path.is_dir() and _OWN_FILES.fullmatch(path.name):
        path.unlink(missing_ok=True)


def _is_own(folder: Path) -> bool:
    """Return whether a folder has the mark of vsr, or nothing but what a start leaves."""
    if not folder.is_dir():
        return False
    mark = next(read_lines(folder / IDENTITY), {})
    proof = next(read_lines(folder / JOINED), {})
    if VERSION in mark or "file" in proof:
        return True
    return all(re.fullmatch(r"rank\d+\.lock|\..*\.partial", p.name) for p in folder.iterdir())
