"""The films of the page: each has a folder of its own and a record that outlives the page."""

import json
import re
import secrets
import threading
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from vsr.errors import OutputError
from vsr.runtime.files import remove_folder, remove_leftovers, write_atomically
from vsr.runtime.locks import HeldLock, lock_owner, take_lock
from vsr.video.suffixes import VIDEO_SUFFIXES

Task = Literal["preview", "plan", "film"]
State = Literal["added", "waiting", "running", "done", "failed", "stopped"]

RECORD, LOG = "film.json", "worker.log"
_SOURCE, _OUTPUT = "source", "output"
_ID = re.compile(r"[0-9a-f]{16}")
_LONGEST_NAME = 120  # characters; OUTPUT.vsr and the like must still fit
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069/\\:*?"<>|]')


@dataclass(frozen=True, slots=True)
class Film:
    """An uploaded film, its last task, and the results that it has."""

    id: str
    name: str
    facts: str = ""
    """Size, codec, rate and length, in words."""
    state: State = "added"
    task: Task | None = None
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    """The fields of UpscaleConfig that the last task was asked with."""
    made_with: dict[str, Any] | None = None
    """The options of the output, or of the finished work on it."""
    asked: int = 0
    """Number of the request: the waiting films are made in this order."""
    line: str = ""
    """The result or the error of the last task, in one line."""
    notes: tuple[str, ...] = ()
    """Lines of the log."""
    plan: str = ""
    preview: str = ""
    """Name of the page of the preview; the other results are named in the same way."""
    output: str = ""
    report: str = ""


class FilmStore:
    """The films in a folder, which one page uses at a time.

    Raises OutputError if the folder cannot be made, or another page uses it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._guard = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _sole_use(folder)
            remove_leftovers(folder)
        except OSError as error:
            raise OutputError(
                f"{folder}, for uploads and results, cannot be used: {error.strerror or error}; "
                "give another with --folder"
            ) from error
        self._films = {film.id: film for film in map(_read, self._entries()) if film is not None}
        for path in self._entries():
            if path.name not in self._films:
                remove_folder(path)  # an upload that did not end

    def describe(self, address: str) -> None:
        """Note the address of the page, for one that finds the folder in use."""
        self._lock.describe(address=address)

    def close(self) -> None:
        """Let another page use the folder."""
        self._lock.release()

    def new_id(self) -> str:
        """Make the folder of a film, and return its id."""
        film_id = secrets.token_hex(8)
        for name in (_SOURCE, _OUTPUT):
            (self.folder / film_id / name).mkdir(parents=True)
        return film_id

    def source(self, film_id: str, name: str) -> Path:
        """Return the path of an upload."""
        return self.folder / film_id / _SOURCE / name

    def output_folder(self, film_id: str) -> Path:
        """Return the folder of the results of a film."""
        return self.folder / film_id / _OUTPUT

    def log(self, film_id: str) -> Path:
        """Return the file for the traces of a film's tasks."""
        return self.folder / film_id / LOG

    def films(self) -> list[Film]:
        """Return all films, the newest last."""
        with self._guard:
            return list(self._films.values())

    def get(self, film_id: str) -> Film | None:
        """Return a film; None if there is no such one."""
        return self._films.get(film_id)

    def add(self, film: Film) -> None:
        """Take a film whose upload is whole."""
        with self._guard:
            self._write(film)

    def update(self, film_id: str, **changes: Any) -> None:
        """Change fields of a film, if it is still there."""
        with self._guard:
            if (film := self._films.get(film_id)) is not None:
                self._write(replace(film, **changes))

    def remove(self, film_id: str) -> None:
        """Remove a film with its upload and all its results."""
        with self._guard:
            self._films.pop(film_id, None)
        if _ID.fullmatch(film_id):
            remove_folder(self.folder / film_id)

    def result(self, film: Film, name: str) -> Path | None:
        """Return the file of a result of a film; None if it is not in the film's folder."""
        folder = self.output_folder(film.id).resolve()
        path = (folder / name).resolve()
        return path if name and path.is_relative_to(folder) and path.is_file() else None

    def _write(self, film: Film) -> None:
        text = json.dumps(asdict(film), ensure_ascii=False, indent=1)
        write_atomically(self.folder / film.id / RECORD, text.encode())
        self._films[film.id] = film

    def _entries(self) -> list[Path]:
        found = [path for path in self.folder.iterdir() if _ID.fullmatch(path.name)]
        return sorted(found, key=lambda path: path.stat().st_mtime)


def film_name(given: str) -> str:
    """Return a plain file name for an upload: without folders, and without odd characters.

    Raises OutputError for an ending that is not a video's.
    """
    last = re.split(r"[/\\]", given)[-1]
    name = _UNSAFE.sub("_", last).strip().lstrip(".-~ ")
    stem, dot, ending = name.rpartition(".")
    if not dot or f".{ending.lower()}" not in VIDEO_SUFFIXES:
        raise OutputError(
            f"{last[:_LONGEST_NAME] or 'a file without a name'} is not a video by its name; the "
            "page takes mp4, mkv, mov, avi, webm, gif and the other endings of videos"
        )
    return f"{stem[:_LONGEST_NAME].rstrip(' .') or 'film'}.{ending.lower()}"


def _read(folder: Path) -> Film | None:
    """Return the film of a folder, as a page that has ended left it; None for other folders."""
    try:
        values = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        known = {one.name for one in fields(Film)}
        given: dict[str, Any] = {key: value for key, value in values.items() if key in known}
        given |= {"id": folder.name, "notes": tuple(values["notes"])}
        film = Film(**given)
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        return None
    return replace(film, state="waiting") if film.state == "running" else film


def _sole_use(folder: Path) -> HeldLock:
    path = folder / "page.lock"
    lock = take_lock(path)
    if lock is None:
        address = lock_owner(path).get("address", "another process")
        raise OutputError(
            f"another page uses {folder}: {address}; open that one, or give another --folder"
        )
    return lock
