"""Lists of films: text files that name one film on each line."""

import logging
import re
from pathlib import Path

from vsr.errors import InputError

_log = logging.getLogger(__name__)

LIST_SUFFIX = ".txt"

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_CONCAT = re.compile(r"file\s+(?=['\"])")
"""The word before a quoted name in the lists of FFmpeg's concat demuxer."""


def listed_films(path: Path) -> list[Path]:
    """Return the films that a list names, one a line, relative to it; # begins a comment.

    Names may be quoted, and the list may be one of FFmpeg's (`file 'a.mp4'`). A byte order mark is
    no part of a name. A name that comes twice counts once, as the log says. Raises InputError for a
    list that cannot be read or that names nothing.
    """
    try:
        lines = [line.strip() for line in _text(path.read_bytes()).splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as a list of films: {error}; save it as text in UTF-8"
        ) from error
    names = [_name(line) for line in lines if line and not line.startswith("#")]
    if not names:
        raise InputError(f"{path} names no film; write the path of one on each line")
    for name in sorted({name for name in names if names.count(name) > 1}):
        _log.warning("%s names %s twice: it is upscaled once", path, name)
    return [_film(path.parent, name) for name in dict.fromkeys(names)]


def _text(content: bytes) -> str:
    """Decode a list; editors of Windows write UTF-16, or a mark before UTF-8."""
    return content.decode("utf-16" if content.startswith(_UTF16_MARKS) else "utf-8-sig")


def _name(line: str) -> str:
    line = _CONCAT.sub("", line)
    is_quoted = len(line) > 1 and line[0] == line[-1] and line[0] in "'\""
    return line[1:-1] if is_quoted else line


def _film(folder: Path, name: str) -> Path:
    return folder / (Path(name).expanduser() if name.startswith("~/") else name)
