"""A film on the workers of an executor: its work folder, its tasks, its finished shots."""

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain

from vsr.config import UpscaleConfig
from vsr.jobs.cluster.worker import ShotTask
from vsr.jobs.films import BatchFilm
from vsr.jobs.job import Job
from vsr.jobs.model import Model
from vsr.jobs.prefetch import prefetch
from vsr.jobs.progress import Meter
from vsr.jobs.resume.work_folder import ShotList, Span, WorkFolder
from vsr.jobs.upscale import UpscaleReport, check_damage, join, kept, made_before
from vsr.runtime.executor import Done
from vsr.runtime.launcher import ALONE
from vsr.video.reading.reader import Frame
from vsr.video.reading.shots import ShotDetector


class SharedFilm:
    """A film on its way: its work folder, and the shots of its finished spans."""

    def __init__(self, film: BatchFilm, config: UpscaleConfig, model: Model) -> None:
        self.film = film
        self._config = config
        self._model = model
        self._open = ExitStack()
        self._began = time.monotonic()
        self._job: Job | None = None
        self._work: WorkFolder | None = None
        self._report: UpscaleReport | None = None
        self._error: Exception | None = None
        self._shots: ShotList | None = None
        self._made: dict[Span, tuple[int, ...]] = {}
        self._frames, self._damage = 0, None
        self._running = 0
        self.has_all_out = False
        """True once it has no more tasks to hand out."""

    def begin(self) -> bool:
        """Take the work folder; False if there is nothing to upscale."""
        job = self._job = Job.of(self.film.source, self.film.output, self._config)
        self._report = made_before(job, ALONE)
        if self._report is not None:
            return False
        job.log_size()
        identity, restart = job.identity(self._model), self._config.restart
        work = WorkFolder(job.output, identity, ranks=ALONE, restart=restart)
        self._work = self._open.enter_context(work)
        return True

    def tasks(self, advance: Meter) -> Iterator[ShotTask]:
        """Yield the tasks for unfinished spans; of a film that has failed, no more."""
        assert self._job is not None
        assert self._work is not None
        self._shots = self._work.finished_shots()
        if self._shots is not None:
            advance(self._shots.frames, is_new=False)
            return
        finished = self._work.finished_spans()
        cuts: list[int] = []
        for span in self._spans(self._job):
            cuts.append(span.first)
            if span in finished:
                self._made[span] = finished[span]
                advance(span.end - span.first, is_new=False)
                continue
            if self._error is not None:
                break
            self._running += 1
            yield ShotTask(self.film, self._work.token, span, tuple(cuts))

    def note(self, done: Done[ShotTask, tuple[int, ...]]) -> None:
        """Note how a task has ended."""
        self._running -= 1
        try:
            assert self._work is not None
            self._made[done.task.span] = done.value()
            self._work.note_span(done.task.span, done.value())
        # Raised again when the film is finished: it fails alone.
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Note the first error of the film."""
        self._error = self._error or error

    @property
    def is_over(self) -> bool:
        """True once nothing of the film runs or waits."""
        return self.has_all_out and not self._running

    def finish(self) -> UpscaleReport:
        """Join the film, and leave its work folder; raises its error."""
        with self._open:
            if self._error is not None:
                raise self._error
            if self._report is not None:
                return self._report
            assert self._job is not None
            assert self._work is not None
            shots = self._shots or self._found()
            join(self._job, self._work, shots)
        check_damage(self._job, shots)
        seconds = time.monotonic() - self._began
        return UpscaleReport(self._job.output, shots.frames, self._job.size, seconds, shots.shots)

    def kept(self) -> str:
        """Return the words for an interrupt."""
        return "" if self._work is None else kept(self._work)

    def close(self) -> None:
        """Leave the work folder."""
        self._open.close()

    def _found(self) -> ShotList:
        """Return the shots of all spans, and note them."""
        assert self._work is not None
        made = sorted(self._made.items(), key=lambda one: one[0].first)
        shots = tuple(chain.from_iterable(shots for _, shots in made))
        found = self._work.shots = ShotList(shots, self._frames, self._damage)
        return found

    def _spans(self, job: Job) -> Iterator[Span]:
        """Yield the spans between the cuts of the source, which is read to its end."""
        with job.reader() as reader, prefetch(_spans(reader)) as spans:
            for span in spans:
                self._frames = span.end
                yield span
            self._damage = reader.damage


def _spans(frames: Iterable[Frame]) -> Iterator[Span]:
    """Yield the spans between the cuts of frames."""
    first = number = 0
    for number, (_, starts_shot) in enumerate(ShotDetector().mark_cuts(iter(frames))):
        if starts_shot and number:
            yield Span(first, number)
            first = number
    yield Span(first, number + 1)
