"""`OUT.vsr`, the folder beside an output in which its finished work is kept until it is whole."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from vsr.jobs.resume.claims import journals
from vsr.jobs.resume.identity import Identity
from vsr.jobs.resume.journal import Journal, PartFact, StoredFile, read_lines, write_error
from vsr.jobs.resume.run_folder import RunFolder, delete, doomed_path, work_path
from vsr.jobs.resume.shot_store import Progress, ShotWork, read_progress
from vsr.video.writing.encoding import Encoding

_FILM, _JOIN, _JOINED = "film.json", "join", "joined.json"


@dataclass(frozen=True, slots=True)
class Film:
    """What is known when all was read: the shots by their first frames, and what was lost."""

    shots: tuple[int, ...]
    frames: int
    damage: str | None


class WorkFolder:
    """The finished work of one output, and who is at it. A context manager, as RunFolder."""

    def __init__(
        self, output: Path, identity: Identity, *, share: bool = False, restart: bool = False
    ) -> None:
        self._suffix = output.suffix
        self._run = RunFolder(output, identity, self.finished, share=share, restart=restart)
        self.path = self._run.path

    def __enter__(self) -> Self:
        self._run.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run.__exit__(kind, error, trace)

    @property
    def is_gone(self) -> bool:
        """Whether another process has made the output whole."""
        return self._run.is_gone

    def claim_shot(self, first: int, encoding: Encoding | None) -> ShotWork | None:
        """The shot that begins at frame `first` of the film, to be made by this process.

        None if it is finished, or another process is at it.
        """
        if self.progress(first).ended:
            return None
        folder = self._shot(first)
        journal = self._run.member.claim(folder)
        if journal is None:
            return None
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise write_error(folder, error) from error
        progress = read_progress(folder, journals(folder), StoredFile.is_whole)
        return ShotWork(folder, Journal(journal), progress, encoding)

    def progress(self, first: int) -> Progress:
        """What is finished of the shot that begins at frame `first`."""
        folder = self._shot(first)
        return read_progress(folder, journals(folder), StoredFile.is_there)

    def is_free(self, first: int) -> bool:
        """Whether no living process is at the shot."""
        return self._run.member.owner(self._shot(first)) is None

    def parts(self, film: Film) -> Iterator[tuple[Path, PartFact]]:
        """The parts of a film whose shots are finished, with the folders in which they are."""
        return ((self._shot(s), part) for s in film.shots for part in self.progress(s).parts)

    @property
    def film(self) -> Film | None:
        """What was found when the whole source was read, if it was."""
        found = self._run.read(_FILM)
        return None if found is None else Film(tuple(found.pop("shots")), **found)

    @film.setter
    def film(self, film: Film) -> None:
        self._run.write(_FILM, asdict(film))

    def finished(self) -> str:
        """How many frames are kept, in words; nothing where there are none."""
        shots = {path.name.partition(".")[0] for path in self.path.glob("????????.??????.jsonl")}
        frames = sum(self.progress(int(shot)).frames for shot in shots)
        return f"{frames} frames" if frames else ""

    def claim_join(self) -> Path | None:
        """A new name in the folder for the output while it is joined; None if another joins it."""
        if self._run.member.claim(self.path / _JOIN) is None:
            return None
        for partial in self.path.glob("partial.*"):
            delete(partial)
        return self.path / f"partial.{self._run.member.token}{self._suffix}"

    def note_joined(self, partial: Path) -> None:
        """The file `partial` is whole, and gets the output's name next."""
        self._run.write(_JOINED, {"file": partial.stat().st_ino})

    def finish(self) -> None:
        """The output is whole and in its place: nothing is needed any more."""
        self._run.remove()

    def _shot(self, first: int) -> Path:
        return self.path / f"{first:08d}"


def finish_after_crash(output: Path) -> bool:
    """Whether the output is whole and only its work folder was left; it is gone then."""
    for folder in (work_path(output), doomed_path(output)):
        joined = next(read_lines(folder / _JOINED), None)
        if joined is not None and output.exists() and output.stat().st_ino == joined["file"]:
            delete(folder)
            return True
    delete(doomed_path(output))
    return False
