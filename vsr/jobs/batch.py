"""Batches: many films, one after the other or split among ranks."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vsr.config import UpscaleConfig
from vsr.errors import InputError, in_one_line
from vsr.jobs.batch_folder import BatchFolder
from vsr.jobs.films import Batch, BatchFilm
from vsr.jobs.model import ConfiguredModel, Model
from vsr.jobs.progress import BatchClock, ShowProgress, in_batch, no_progress
from vsr.jobs.resume.work_folder import clean_up, is_joined
from vsr.jobs.supervision.film_process import FilmProcess
from vsr.jobs.supervision.messages import Done, Setup
from vsr.jobs.upscale import UpscaleReport, upscale
from vsr.runtime.launcher import ALONE, Ranks, launched_ranks
from vsr.runtime.timing import StageTimer
from vsr.upscaling.sizes import Size
from vsr.video.probe import probe

_log = logging.getLogger(__name__)

UpscaleFilm = Callable[[BatchFilm, ShowProgress], Done]
"""Upscales a film of a batch, and shows the progress."""

AroundFilm = Callable[[BatchFilm, Ranks, Callable[[], Done]], UpscaleReport]
"""Calls the last argument, which upscales the film, shared by those ranks."""


def _report_of(film: BatchFilm, ranks: Ranks, run: Callable[[], Done]) -> UpscaleReport:
    """Upscale a film, and do nothing beside that."""
    del film, ranks
    return run().report


@dataclass(frozen=True, slots=True)
class BatchReport:
    """The films that are done, those whose output existed, and those that failed."""

    done: tuple[UpscaleReport, ...]
    failed: tuple[tuple[BatchFilm, Exception], ...]
    skipped: tuple[BatchFilm, ...] = ()

    def __str__(self) -> str:
        lines = [str(report) for report in self.done]
        lines += [f"skipped {film.source}: {film.output} exists" for film in self.skipped]
        lines += [f"FAILED {film.source}: {in_one_line(e)}" for film, e in self.failed]
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
    around_film: AroundFilm = _report_of,
) -> BatchReport:
    """Upscale all films of a batch; one that fails does not stop the others.

    The films are upscaled in another process, so that one that crashes it only fails too. With a
    `model` in the memory of this process, they are upscaled in this one.

    A film whose output exists is skipped, as the log says, unless `config.overwrite`. Called again,
    it continues with those that are left. The ranks of a launch take films by number, or, where
    there are fewer films than ranks, the shots of every film.
    """
    config, ranks = config or UpscaleConfig(), ranks or launched_ranks()
    done: list[UpscaleReport] = []
    failed: list[tuple[BatchFilm, Exception]] = []
    skipped: list[BatchFilm] = []
    films, film_ranks = _films_of(batch, ranks)
    batch.make_folders()
    with ExitStack() as stack:
        identified = model or ConfiguredModel(config)
        folder = stack.enter_context(BatchFolder(batch, config, identified, ranks))
        if model is None:
            process = _film_process(config, identified, film_ranks)
            upscale_film = stack.enter_context(process).upscale
        else:
            upscale_film = _this_process(config, model, film_ranks)
        clock = BatchClock(tuple(_size(film.source) for film in films))
        for index, film in enumerate(films):
            try:
                if folder.is_done(film):
                    clean_up(film.output)
                    done.append(earlier_report(film))
                    continue
                if is_skipped(film, config):
                    skipped.append(film)
                    continue
                _log.info("film %d of %d: %s", index + 1, len(films), film.source)
                folder.note_begun(film)
                shown = in_batch(progress, clock.place(index))
                done.append(around_film(film, film_ranks, partial(upscale_film, film, shown)))
                folder.note_done(film)
                clock.note_made(index)
            # A batch's one boundary: no error of a library may end a night's work.
            except Exception as error:
                _log.error("%s: %s", film.source, in_one_line(error))
                _log.debug("%s", film.source, exc_info=error)
                failed.append((film, error))
    return BatchReport(tuple(done), tuple(failed), tuple(skipped))


def _films_of(batch: Batch, ranks: Ranks) -> tuple[tuple[BatchFilm, ...], Ranks]:
    """Return the films of this rank, and the ranks that share the shots of each."""
    if len(batch.films) < ranks.world:
        return batch.films, ranks
    return tuple(film for i, film in enumerate(batch.films) if ranks.takes(i)), ALONE


def _film_process(config: UpscaleConfig, model: Model, ranks: Ranks) -> FilmProcess:
    """Return the process that upscales the films, and logs what this one does."""
    level = logging.getLogger("vsr").getEffectiveLevel()
    return FilmProcess(Setup(config, model.identity(), ranks, level))


def _this_process(config: UpscaleConfig, model: Model, ranks: Ranks) -> UpscaleFilm:
    """Return a function that upscales films with a model in the memory of this process."""

    def upscale_film(film: BatchFilm, progress: ShowProgress) -> Done:
        timer = StageTimer()
        report = upscale(
            film.source, film.output, config,
            model=model, timer=timer, ranks=ranks, progress=progress,
        )  # fmt: skip
        return Done(report, timer.seconds)

    return upscale_film


def is_skipped(film: BatchFilm, config: UpscaleConfig) -> bool:
    """Say in the log that the output of a film exists, if it does and is not to be replaced."""
    if config.overwrite or not film.output.exists() or is_joined(film.output):
        return False
    _log.info(
        "%s is skipped: %s exists; --overwrite makes it again",
        *(film.source, film.output),
    )
    return True


def earlier_report(film: BatchFilm) -> UpscaleReport:
    """Return the report of a film that an earlier run of the batch has made."""
    info = probe(film.output)
    return UpscaleReport(film.output, 0, Size(info.height, info.width), 0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0
