"""The driver of films on an executor: it finds their shots, hands them out, and joins the films.

    film ─ spans between cuts ─ tasks ─ workers ─ parts in OUT.vsr/ ─ joined ─ OUT

The films of a batch share the workers: while the last shots of one are upscaled, and while it is
joined, workers are at the next. The driver holds the locks and writes the journal of spans; each
worker writes the journal of its shot. The bytes are those of one process.
"""

import logging
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

from vsr.config import UpscaleConfig
from vsr.errors import ConfigError, in_one_line
from vsr.jobs.batch import BatchReport, earlier_report, is_skipped
from vsr.jobs.batch_folder import BatchFolder
from vsr.jobs.cluster.film import SharedFilm
from vsr.jobs.cluster.folders import SentFact
from vsr.jobs.cluster.full_paths import with_full_paths
from vsr.jobs.cluster.worker import (
    LoadModel,
    ShotTask,
    ShotWorker,
    model_identity,
)
from vsr.jobs.films import Batch, BatchFilm
from vsr.jobs.job import Job
from vsr.jobs.model import ConfiguredModel, Model
from vsr.jobs.progress import Meter, ShowProgress, metered, no_progress
from vsr.jobs.resume.work_folder import clean_up
from vsr.jobs.sent_progress import Advanced
from vsr.jobs.upscale import UpscaleReport
from vsr.runtime.executor import Done, Executor
from vsr.runtime.launcher import ALONE, launched_ranks

_log = logging.getLogger(__name__)

Outcome = tuple[BatchFilm, UpscaleReport | Exception]


def upscale_on(
    executor: Executor,
    source: Path,
    output: Path | None = None,
    config: UpscaleConfig | None = None,
    *,
    load_model: LoadModel = ConfiguredModel,
    progress: ShowProgress = no_progress,
) -> UpscaleReport:
    """Upscale a film on the workers of an executor; see `vsr.jobs.upscale.upscale`."""
    config = config or UpscaleConfig()
    job = Job.of(source, output, config)
    film = BatchFilm(job.source, job.output)
    driver = _Driver(executor, config, load_model, raises=True)
    with progress(job.expected_frames) as advance:
        ((_, report),) = driver.outcomes([film], metered(advance))
    assert isinstance(report, UpscaleReport)
    return report


def upscale_batch_on(
    executor: Executor,
    batch: Batch,
    config: UpscaleConfig | None = None,
    *,
    load_model: LoadModel = ConfiguredModel,
    progress: ShowProgress = no_progress,
) -> BatchReport:
    """Upscale all films of a batch on the workers; see `vsr.jobs.batch.upscale_batch`."""
    config = config or UpscaleConfig()
    driver = _Driver(executor, config, load_model)
    batch.make_folders()
    done: list[UpscaleReport] = []
    failed: list[tuple[BatchFilm, Exception]] = []
    skipped: list[BatchFilm] = []
    with BatchFolder(batch, config, driver.model, ALONE) as folder, progress(None) as advance:

        def begun() -> Iterator[BatchFilm]:
            for film in batch.films:
                if folder.is_done(film):
                    clean_up(film.output)
                    done.append(earlier_report(film))
                elif is_skipped(film, config):
                    skipped.append(film)
                else:
                    folder.note_begun(film)
                    yield film

        for film, outcome in driver.outcomes(begun(), metered(advance)):
            if isinstance(outcome, UpscaleReport):
                done.append(outcome)
                folder.note_done(film)
                _log.info("%d of %d films are done: %s", len(done), len(batch.films), film.output)
            else:
                failed.append((film, outcome))
    return BatchReport(tuple(done), tuple(failed), tuple(skipped))


class _Driver:
    """Hands the shots of films to the workers; with `raises`, the first error ends all."""

    def __init__(
        self,
        executor: Executor,
        config: UpscaleConfig,
        load_model: LoadModel,
        *,
        raises: bool = False,
    ) -> None:
        if launched_ranks() != ALONE:
            raise ConfigError(
                "--cluster and a launcher (accelerate, torchrun) are both given: start one process"
            )
        if config.grain_table:
            raise ConfigError(
                "--grain-table is for one process, since workers send no grain: leave out one of "
                "--grain-table and --cluster"
            )
        self._executor = executor
        self._config = config
        self._load_model = load_model
        self._raises = raises
        self.model: Model = self._model()
        self._open: dict[str, SharedFilm] = {}
        """The films that are begun, by the names of their runs."""
        self._joining: dict[Future[UpscaleReport], SharedFilm] = {}

    def outcomes(self, films: Iterable[BatchFilm], advance: Meter) -> Generator[Outcome]:
        """Yield the films as they are joined, or fail."""
        make = partial(ShotWorker, with_full_paths(self._config), self._load_model)
        with ExitStack() as stack:
            stack.enter_context(self._closing())
            self._joiner = stack.enter_context(ThreadPoolExecutor(1, "join"))
            tasks = stack.enter_context(closing(self._tasks(films, advance)))
            run = self._executor.run(make, tasks, told=partial(self._hear, advance))
            for done in stack.enter_context(closing(run)):
                self._note(done)
                yield from self._ended()
            while self._joining:
                wait(self._joining, return_when=FIRST_COMPLETED)
                yield from self._ended()

    def _model(self) -> Model:
        """Return the model with the identity that it has on a worker."""
        found = partial(model_identity, self._load_model)
        (done,) = self._executor.map(found, [with_full_paths(self._config)])
        return ConfiguredModel(self._config, done.value())

    def _tasks(self, films: Iterable[BatchFilm], advance: Meter) -> Generator[ShotTask]:
        """Begin one film after the other, and yield the tasks for its unfinished spans."""
        for one in films:
            film = SharedFilm(one, self._config, self.model, self._executor.read_file)
            try:
                if film.begin():
                    self._open[film.token] = film
                    yield from film.tasks(advance)
            # A batch's one boundary, as in `upscale_batch`.
            except Exception as error:
                film.fail(error)
            film.has_all_out = True
            self._end_if_over(film)

    def _note(self, done: Done[ShotTask, tuple[int, ...]]) -> None:
        film = self._open[done.task.film.token]
        film.note(done)
        self._end_if_over(film)

    def _hear(self, advance: Meter, task: ShotTask, told: Advanced | SentFact) -> None:
        if isinstance(told, SentFact):
            self._open[task.film.token].store(told)
        else:
            advance(told.frames, is_new=told.is_new)

    def _end_if_over(self, film: SharedFilm) -> None:
        """Let a film be joined if all of its shots are finished."""
        if film.is_over:
            self._joining[self._joiner.submit(film.finish)] = film

    def _ended(self) -> Iterator[Outcome]:
        for future in [future for future in self._joining if future.done()]:
            film = self._joining.pop(future)
            self._open = {token: one for token, one in self._open.items() if one is not film}
            error = future.exception()
            if error is None:
                yield film.film, future.result()
                continue
            if self._raises or not isinstance(error, Exception):
                raise error
            _log.error("%s: %s", film.film.source, in_one_line(error))
            _log.debug("%s", film.film.source, exc_info=error)
            yield film.film, error

    @contextmanager
    def _closing(self) -> Generator[None]:
        """Leave the work folders at the end; an interrupt says what is kept."""
        try:
            yield
        except KeyboardInterrupt as interrupt:
            words = [film.kept() for film in self._open.values()]
            raise KeyboardInterrupt("; ".join(filter(None, words))) from interrupt
        finally:
            for film in self._open.values():
                film.close()
