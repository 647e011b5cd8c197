"""`OUT.vsr`, the folder beside an output in which its finished work is kept until it is whole."""

import json
import logging
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from vsr.errors import ConfigError, OutputError
from vsr.jobs.claims import Member, ProcessId, journals
from vsr.jobs.identity import Identity, differences
from vsr.jobs.journal import (
    Journal,
    PartFact,
    StoredFile,
    append_line,
    read_lines,
    write_durably,
)
from vsr.jobs.shot_work import Progress, ShotWork, read_progress
from vsr.video.encoding import Encoding

_log = logging.getLogger(__name__)

_IDENTITY, _FILM, _RUN, _JOIN, _JOINED = "job.json", "film.json", "run", "join", "joined.json"
_READY = {"ready": True}
_READY_SECONDS = 60.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Film:
    """What is known when all was read: the shots by their first frames, and what was lost."""

    shots: tuple[int, ...]
    frames: int
    damage: str | None


def work_path(output: Path) -> Path:
    """Where the work of an output is kept."""
    return output.with_name(f"{output.name}.vsr")


class WorkFolder:
    """The finished work of one output, and who is at it. A context manager.

    It stays where the run fails and something was finished, so that the same command goes on; it is
    gone when the output is whole. With `share` other processes with `share` may be at it too.

    Entering raises OutputError where another run is at it, and ConfigError where it was begun with
    another source or other parameters, unless `restart` is set: then it begins anew.
    """

    def __init__(
        self, output: Path, identity: Identity, *, share: bool = False, restart: bool = False
    ) -> None:
        self.path = work_path(output)
        self._output = output
        self._identity = identity
        self._share = share
        self._restart = restart
        self._member = Member(self.path, shares=share)

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(exist_ok=True)
            self._member.__enter__()
            self._begin()
        except BaseException as error:
            self.__exit__(None, None, None)
            if isinstance(error, OSError):
                raise OutputError(
                    f"{self.path}, where finished parts are kept, cannot be made: "
                    f"{error.strerror or error}"
                ) from error
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._member.__exit__(kind, error, trace)
        if self.path.is_dir() and self.finished_frames() == 0 and not self._member.others():
            self._remove()

    @property
    def is_gone(self) -> bool:
        """Whether another process has made the output whole."""
        return not (self.path / _IDENTITY).exists()

    def claim_shot(self, first: int, encoding: Encoding | None) -> ShotWork | None:
        """The shot that begins at frame `first` of the film, to be made by this process.

        None if it is finished, or another process is at it.
        """
        if self.progress(first).ended:
            return None
        folder = self._shot(first)
        journal = self._member.claim(folder)
        if journal is None:
            return None
        folder.mkdir(exist_ok=True)
        progress = read_progress(folder, journals(folder), StoredFile.is_whole)
        return ShotWork(folder, Journal(journal), progress, encoding)

    def progress(self, first: int) -> Progress:
        """What is finished of the shot that begins at frame `first`."""
        folder = self._shot(first)
        return read_progress(folder, journals(folder), StoredFile.is_there)

    def is_free(self, first: int) -> bool:
        """Whether no living process is at the shot."""
        return self._member.owner(self._shot(first)) is None

    def parts(self, film: Film) -> Iterator[tuple[Path, PartFact]]:
        """The parts of a film whose shots are finished, with the folders in which they are."""
        return ((self._shot(s), part) for s in film.shots for part in self.progress(s).parts)

    @property
    def film(self) -> Film | None:
        """What was found when the whole source was read, if it was."""
        found = next(read_lines(self.path / _FILM), None)
        return None if found is None else Film(tuple(found.pop("shots")), **found)

    @film.setter
    def film(self, film: Film) -> None:
        self._write(_FILM, asdict(film))

    def finished_frames(self) -> int:
        """How many frames are kept."""
        shots = {path.name.partition(".")[0] for path in self.path.glob("????????.??????.jsonl")}
        return sum(self.progress(int(shot)).frames for shot in shots)

    def claim_join(self) -> Path | None:
        """A new name in the folder for the output while it is joined; None if another joins it."""
        if self._member.claim(self.path / _JOIN) is None:
            return None
        for partial in self.path.glob("partial.*"):
            _delete(partial)
        return self.path / f"partial.{self._member.token}{self._output.suffix}"

    def note_joined(self, partial: Path) -> None:
        """The file `partial` is whole, and gets the output's name next."""
        self._write(_JOINED, {"file": partial.stat().st_ino})

    def finish(self) -> None:
        """The output is whole and in its place: nothing is needed any more."""
        self._remove()

    def _begin(self) -> None:
        run = self._member.claim(self.path / _RUN)
        others = self._member.others()
        sharing = [other for other in others if other.shares]
        if run is None:
            owner = self._member.owner(self.path / _RUN)
            if not (self._share and owner is not None and owner.shares):
                raise self._busy(owner or (others[0] if others else None))
            self._await_ready()
            self._compare()
            return
        # Others that do not share have come later, and give up.
        if sharing and not self._share:
            raise self._busy(sharing[0])
        if not sharing:
            self._take_over()
        self._compare()
        append_line(run, json.dumps(_READY))

    def _take_over(self) -> None:
        """Make the folder that of this run, which is alone in it."""
        known = (self.path / _IDENTITY).exists()
        if self._restart or not known:
            self._clear()
            self._write(_IDENTITY, dict(self._identity))
        elif frames := self.finished_frames():
            _log.info("going on: %d frames are finished in %s", frames, self.path)

    def _compare(self) -> None:
        found = next(read_lines(self.path / _IDENTITY), None)
        if found is None:
            raise OutputError(f"{self.path} vanishes: another run has just ended; start again")
        changes = differences(found, self._identity)
        if changes:
            raise ConfigError(
                f"{self.path} holds {self.finished_frames()} finished frames of another run: "
                f"{', '.join(changes)}. Run with what was given then, give another output, or "
                "begin anew with --restart"
            )

    def _await_ready(self) -> None:
        """Wait until the process that came first has made the folder."""
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            made = journals(self.path / _RUN)
            if made and _READY in read_lines(made[-1]):
                return
            time.sleep(_POLL_SECONDS)
        raise OutputError(f"{self.path} was claimed by a process that does not go on: end it")

    def _busy(self, owner: ProcessId | None) -> OutputError:
        return OutputError(
            f"another run is writing {self._output} ({owner or 'it has just begun'}): wait for it, "
            "end it, or give --share to both if they are to make one output together"
        )

    def _shot(self, first: int) -> Path:
        return self.path / f"{first:08d}"

    def _write(self, name: str, content: dict[str, object]) -> None:
        write_durably(self.path / name, f"{json.dumps(content)}\n".encode())

    def _clear(self) -> None:
        """Delete everything but what says that this process is there."""
        for path in self.path.iterdir():
            if path.suffix != ".process" and not path.name.startswith(f"{_RUN}."):
                _delete(path)

    def _remove(self) -> None:
        """Let the folder vanish at once, for all who look at it."""
        doomed = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        try:
            self.path.rename(doomed)
        except FileNotFoundError:
            return
        shutil.rmtree(doomed, ignore_errors=True)


def finish_after_crash(output: Path) -> bool:
    """Whether the output is whole and only its work folder was left; it is gone then."""
    folder = work_path(output)
    joined = next(read_lines(folder / _JOINED), None)
    if joined is None or not output.exists() or output.stat().st_ino != joined["file"]:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return True


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
