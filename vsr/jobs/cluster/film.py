"""A film on the workers of an executor: its work folder, its tasks, its finished shots."""

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain

from vsr.config import UpscaleConfig
from vsr.jobs.cluster.folders import SentFact, store_sent
from vsr.jobs.cluster.offered_film import OfferedFilm
from vsr.jobs.cluster.pieces import Piece, pieces
from vsr.jobs.cluster.worker import ShotTask
from vsr.jobs.films import BatchFilm
from vsr.jobs.job import Job
from vsr.jobs.model import Model
from vsr.jobs.prefetch import prefetch
from vsr.jobs.progress import Meter
from vsr.jobs.resume.shot_store import holds_clips
from vsr.jobs.resume.work_folder import ShotList, Span, WorkFolder
from vsr.jobs.upscale import UpscaleReport, check_damage, join, kept, made_before
from vsr.jobs.worker import clips_of, frame_number
from vsr.runtime.executor import Done, ReadFile
from vsr.runtime.launcher import ALONE
from vsr.upscaling.framing import clips_stand_alone
from vsr.video.reading.reader import Frame, VideoReader
from vsr.video.reading.shots import ShotDetector


class SharedFilm:
    """A film on its way: its work folder, and the shots of its finished spans."""

    def __init__(
        self, film: BatchFilm, config: UpscaleConfig, model: Model, read: ReadFile
    ) -> None:
        self.film = film
        self._config = config
        self._model = model
        self._read = read
        self._open = ExitStack()
        self._began = time.monotonic()
        self._job: Job | None = None
        self._work: WorkFolder | None = None
        self._offered: OfferedFilm | None = None
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
        self._offered = OfferedFilm.of(job, work.token, identity, self._read)
        return True

    @property
    def token(self) -> str:
        """The name of its run, which its tasks have."""
        assert self._work is not None
        return self._work.token

    def tasks(self, advance: Meter) -> Iterator[ShotTask]:
        """Yield the tasks for unfinished spans; of a film that has failed, no more."""
        assert self._work is not None
        assert self._offered is not None
        self._shots = self._work.finished_shots()
        if self._shots is not None:
            advance(self._shots.frames, is_new=False)
            return
        noted = self._work.finished_spans()
        cuts: list[int] = []
        for span, piece in self._spans():
            if piece is None:
                cuts.append(span.first)
            finished = noted.get(span) if piece is None else self._finished(piece)
            if finished is not None:
                self._made[span] = finished
                advance(span.end - span.first, is_new=False)
                continue
            if self._error is not None:
                break
            self._running += 1
            yield ShotTask(self._offered, span, tuple(cuts), piece)

    def note(self, done: Done[ShotTask, tuple[int, ...]]) -> None:
        """Note how a task has ended."""
        self._running -= 1
        try:
            assert self._work is not None
            self._made[done.task.span] = done.value()
            if done.task.piece is None:
                self._work.note_span(done.task.span, done.value())
        # Raised again when the film is finished: it fails alone.
        except Exception as error:
            self.fail(error)

    def store(self, sent: SentFact) -> None:
        """Store what a worker has sent that does not see the work folder."""
        try:
            assert self._work is not None
            store_sent(self._work, sent)
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

    def _finished(self, piece: Piece) -> tuple[int, ...] | None:
        """Return the shots that begin in a piece if it is finished; else None."""
        assert self._work is not None
        return piece.shots if self._work.progress(piece.shot, piece.stretch).ended else None

    def _spans(self) -> Iterator[tuple[Span, Piece | None]]:
        """Yield the spans of the source, which is read to its end, or the pieces of its shots."""
        assert self._job is not None
        with self._job.reader() as reader, prefetch(self._found_spans(reader)) as spans:
            for span, piece in spans:
                self._frames = span.end
                yield span, piece
            self._damage = reader.damage

    def _found_spans(self, reader: VideoReader) -> Iterator[tuple[Span, Piece | None]]:
        assert self._job is not None
        if not clips_stand_alone(self._config):
            yield from ((span, None) for span in _spans(reader))
            return
        first = next(reader)
        skipped = frame_number(first, reader.info)
        marked = ShotDetector().mark_cuts(chain((first,), reader))
        clips, holds = clips_of(self._job, marked, skipped), holds_clips(self._job.encoding)
        for piece in pieces(clips, self._job.size, holds=holds):
            yield piece.span(skipped), piece


def _spans(frames: Iterable[Frame]) -> Iterator[Span]:
    """Yield the spans between the cuts of frames."""
    first = number = 0
    for number, (_, starts_shot) in enumerate(ShotDetector().mark_cuts(iter(frames))):
        if starts_shot and number:
            yield Span(first, number)
            first = number
    yield Span(first, number + 1)
