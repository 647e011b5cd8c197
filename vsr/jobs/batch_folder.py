"""The work folder of a batch, whose journal says which films are done."""

from pathlib import Path

from vsr import __version__
from vsr.config import UpscaleConfig
from vsr.jobs.films import Batch, BatchFilm
from vsr.jobs.model import Model
from vsr.jobs.resume.identity import options_identity
from vsr.jobs.resume.journal import read_lines
from vsr.jobs.resume.own_files import work_path
from vsr.jobs.resume.run_folder import RunFolder
from vsr.runtime.launcher import Ranks


class BatchFolder(RunFolder):
    """The films of a batch that are done, by all ranks."""

    def __init__(self, batch: Batch, config: UpscaleConfig, model: Model, ranks: Ranks) -> None:
        identity = {**options_identity(config, version=__version__), **model.identity()}
        super().__init__(batch.place, identity, ranks=ranks, restart=config.restart)
        self._films = batch.films

    def finished(self) -> str:
        """Return the number of finished films in words; an empty string if there are none."""
        done = sum(map(self.is_done, self._films))
        return f"{done} films" if done else ""

    def is_complete(self) -> bool:
        """Return whether all films are done."""
        return all(map(self.is_done, self._films))

    def note_begun(self, film: BatchFilm) -> None:
        """Note that a film begins, and which file its output replaces."""
        self._note({"begun": str(film.output), "replaces": _inode(film.output)})

    def note_done(self, film: BatchFilm) -> None:
        """Note that a film is done."""
        self._note({"made": str(film.output)})

    def is_done(self, film: BatchFilm) -> bool:
        """Return whether a run of this batch has made the film, and it is still there.

        A run that was killed after it had put the film in its place has not noted that.
        """
        if not file_exists(film.output) or file_exists(work_path(film.output)):
            return False
        name, inode = str(film.output), _inode(film.output)
        lines = [line for path in self._notes() for line in read_lines(path)]
        begun = [line for line in lines if line.get("begun") == name]
        return any(line.get("made") == name for line in lines) or (
            bool(begun) and begun[-1].get("replaces") != inode
        )

    def _note(self, line: dict[str, object]) -> None:
        self.append(f"rank{self.ranks.rank:04d}.films.jsonl", line)

    def _notes(self) -> list[Path]:
        return sorted(self.path.glob("rank*.films.jsonl"))


def file_exists(path: Path) -> bool:
    """Return whether a file exists; a name that no file can have is none."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _inode(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None
