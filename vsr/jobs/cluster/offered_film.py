"""A film as the driver has it, and a copy of it for a worker that does not see its source."""

import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from vsr.errors import InputError
from vsr.jobs.films import BatchFilm
from vsr.jobs.job import Job
from vsr.jobs.resume.identity import Identity, source_files, source_identity
from vsr.jobs.target import named
from vsr.runtime.executor import ReadFile

_MOST_PICTURES = 1000
"""A folder of more is not copied: its names would go with each task, its files one by one."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a source: its size, its time of change in ns, and its place in a copy."""

    path: Path
    size: int
    changed: int
    place: str

    @classmethod
    def of(cls, path: Path, source: Path) -> "SourceFile":
        """Return a file of a source as it is now; it may be the source itself."""
        stat, place = path.stat(), Path(source.name, path.relative_to(source)).as_posix()
        return cls(path.resolve(), stat.st_size, stat.st_mtime_ns, place)


@dataclass(frozen=True, slots=True)
class OfferedFilm:
    """A film of the driver, for its workers.

    `token` names the run that leads its work folder, and `identity` is all that decides its bytes.
    `read` gives the content of `files` to a worker that does not see the source.
    """

    film: BatchFilm
    machine: str
    token: str
    identity: Identity
    files: tuple[SourceFile, ...]
    read: ReadFile

    @classmethod
    def of(cls, job: Job, token: str, identity: Identity, read: ReadFile) -> "OfferedFilm":
        """Return the film of a job."""
        film = BatchFilm(named(job.source), named(job.output))
        paths = source_files(film.source)
        if len(paths) > _MOST_PICTURES:
            paths = ()
        files = tuple(SourceFile.of(path, film.source) for path in paths)
        return cls(film, socket.gethostname(), token, identity, files, read)

    @property
    def is_seen(self) -> bool:
        """Return whether the source is seen from here: there is one of the same content."""
        try:
            found = source_identity(self.film.source)
        except InputError:
            return False
        return all(self.identity.get(name) == value for name, value in found.items())

    def copied(self, folder: Path) -> Path:
        """Return a copy of the source, made in an empty folder.

        Raises InputError where it cannot be had.
        """
        try:
            self._check_room(folder)
            for file in self.files:
                path = folder / file.place
                path.parent.mkdir(exist_ok=True)
                with path.open("wb") as opened:
                    opened.writelines(self.read(file.path))
                os.utime(path, ns=(file.changed, file.changed))
        except OSError as error:
            raise InputError(
                f"the worker on {socket.gethostname()} does not see {self.film.source}, and got no "
                f"copy from {self.machine} ({error.strerror or error}): put it on a disk that all "
                "machines share, under the same path"
            ) from error
        return folder / self.film.source.name

    def _check_room(self, folder: Path) -> None:
        """Raise OSError for a source that is not copied."""
        if not self.files:
            raise OSError(f"it is a folder of more than {_MOST_PICTURES} pictures")
        size, room = sum(file.size for file in self.files), shutil.disk_usage(folder).free
        if size > room:
            raise OSError(
                f"it has {size / 1e9:.1f} GB, and {folder.parent} there has {room / 1e9:.1f} GB "
                "left; TMPDIR names another folder"
            )
