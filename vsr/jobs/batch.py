"""Batches: many films, one after the other or split among ranks."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vsr import __version__
from vsr.config import UpscaleConfig
from vsr.errors import InputError, VsrError, explained_os_error
from vsr.jobs.films import Batch, BatchFilm
from vsr.jobs.model import ConfiguredModel, Model
from vsr.jobs.progress import BatchClock, ShowProgress, in_batch, no_progress
from vsr.jobs.resume.identity import options_identity
from vsr.jobs.resume.journal import read_lines, write_error
from vsr.jobs.resume.own_files import work_path
from vsr.jobs.resume.run_folder import RunFolder
from vsr.jobs.resume.work_folder import clean_up, is_joined
from vsr.jobs.upscale import UpscaleReport, upscale
from vsr.runtime.files import append_lines, flush_entries
from vsr.runtime.launcher import ALONE, Ranks, launched_ranks
from vsr.upscaling.sizes import Size
from vsr.video.probe import probe

_log = logging.getLogger(__name__)


class UpscaleFilm(Protocol):
    """Upscales one film of a batch, as `upscale` does."""

    def __call__(
        self,
        source: Path,
        output: Path | None,
        config: UpscaleConfig | None,
        *,
        model: Model | None,
        progress: ShowProgress,
        ranks: Ranks | None,
    ) -> UpscaleReport:
        """Return the report of the film."""
        ...


@dataclass(frozen=True, slots=True)
class BatchReport:
    """The films that are done, those whose output existed, and those that failed."""

    done: tuple[UpscaleReport, ...]
    failed: tuple[tuple[BatchFilm, Exception], ...]
    skipped: tuple[BatchFilm, ...] = ()

    def __str__(self) -> str:
        lines = [str(report) for report in self.done]
        lines += [f"skipped {film.source}: {film.output} exists" for film in self.skipped]
        lines += [f"FAILED {film.source}: {one_line(e)}" for film, e in self.failed]
        counts = f"{len(self.done)} of {self._total} done"
        counts += f", {len(self.skipped)} skipped" if self.skipped else ""
        counts += f", {len(self.failed)} failed" if self.failed else ""
        return "\n".join([*lines, counts])

    def check(self) -> None:
        """Raise InputError if a film failed."""
        if self.failed:
            raise InputError(
                f"{len(self.failed)} of {self._total} films failed, as listed; the same command "
                "continues with them when the causes are gone"
            )

    @property
    def _total(self) -> int:
        return len(self.done) + len(self.skipped) + len(self.failed)


def upscale_batch(
    batch: Batch,
    config: UpscaleConfig | None = None,
    *,
    model: Model | None = None,
    progress: ShowProgress = no_progress,
    ranks: Ranks | None = None,
    upscale_film: UpscaleFilm = upscale,
) -> BatchReport:
    """Upscale all films of a batch; one that fails does not stop the others.

    A film whose output exists is skipped, as the log says, unless `config.overwrite`. Called again,
    it continues with those that are left. The ranks of a launch take films by number, or, where
    there are fewer films than ranks, the shots of every film.
    """
    config = config or UpscaleConfig()
    model, ranks = model or ConfiguredModel(config), ranks or launched_ranks()
    done: list[UpscaleReport] = []
    failed: list[tuple[BatchFilm, Exception]] = []
    skipped: list[BatchFilm] = []
    films, film_ranks = batch.films, ranks
    if len(films) >= ranks.world:
        films = tuple(film for i, film in enumerate(films) if ranks.takes(i))
        film_ranks = ALONE
    batch.make_folders()
    with BatchFolder(batch, config, model, ranks) as folder:
        clock = BatchClock(tuple(_size(film.source) for film in films))
        for index, film in enumerate(films):
            try:
                if folder.is_done(film):
                    clean_up(film.output)
                    done.append(_earlier_report(film))
                    continue
                if _is_skipped(film, config):
                    skipped.append(film)
                    continue
                _log.info("film %d of %d: %s", index + 1, len(films), film.source)
                folder.note_begun(film)
                done.append(
                    upscale_film(
                        film.source, film.output, config,
                        model=model, ranks=film_ranks,
                        progress=in_batch(progress, clock.place(index)),
                    )
                )  # fmt: skip
                folder.note_done(film)
                clock.note_made(index)
            # A batch's one boundary: no error of a library may end a night's work.
            except Exception as error:
                _log.error("%s: %s", film.source, one_line(error))
                _log.debug("%s", film.source, exc_info=error)
                failed.append((film, error))
    return BatchReport(tuple(done), tuple(failed), tuple(skipped))


def _is_skipped(film: BatchFilm, config: UpscaleConfig) -> bool:
    """Say in the log that the output of a film exists, if it does and is not to be replaced."""
    if config.overwrite or not film.output.exists() or is_joined(film.output):
        return False
    _log.info(
        "%s is skipped: %s exists; --overwrite makes it again",
        *(film.source, film.output),
    )
    return True


def _earlier_report(film: BatchFilm) -> UpscaleReport:
    info = probe(film.output)
    return UpscaleReport(film.output, 0, Size(info.height, info.width), 0)


def one_line(error: Exception) -> str:
    """Return the message of an error in one line, with its kind where it is not ours."""
    if isinstance(error, OSError):
        error = explained_os_error(error)
    text = " ".join(str(error).split())
    return text if isinstance(error, VsrError) else f"{type(error).__name__}: {text}"


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
        self.check_in_place()
        path = self.path / f"rank{self.ranks.rank:04d}.films.jsonl"
        try:
            if not path.exists():
                path.touch()
                flush_entries(path.parent)
            append_lines(path, json.dumps(line))
        except OSError as error:
            raise write_error(path, error) from error

    def _notes(self) -> list[Path]:
        return sorted(self.path.glob("rank*.films.jsonl"))


def file_exists(path: Path) -> bool:
    """Return whether a file exists; a name that no file can have is none."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0


def _inode(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None
