"""The worker's side of films on an executor: shots of films, upscaled into their work folders."""

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from vsr.config import UpscaleConfig
from vsr.errors import InputError, OutputError, first_line
from vsr.jobs.clip_ticks import ClipTicks
from vsr.jobs.cluster.folders import GuestFolder, SendingFolder
from vsr.jobs.cluster.offered_film import OfferedFilm
from vsr.jobs.cluster.pieces import Piece, clips_of_piece
from vsr.jobs.job import Job
from vsr.jobs.model import Model
from vsr.jobs.resume.identity import Identity, SourceGuard
from vsr.jobs.resume.work_folder import Span
from vsr.jobs.sent_progress import SentMeter
from vsr.jobs.worker import Worker, clips_of, frame_number
from vsr.restoration.stage import Restorer
from vsr.runtime.executor import Tell, WorkerBrokenError
from vsr.runtime.scratch import ScratchFolder
from vsr.runtime.timing import NullTimer
from vsr.video.reading.clips import Clip
from vsr.video.reading.reader import Frame

_log = logging.getLogger(__name__)

LoadModel = Callable[[UpscaleConfig], Model]
_GPU_FAILURES = ("CUDA error", "CUDA driver", "cuDNN error", "NCCL error")


@dataclass(frozen=True, slots=True)
class ShotTask:
    """The shots of a span of a film, or a piece of one shot.

    `cuts` are the first frames of the spans up to it, which a piece does not need.
    """

    film: OfferedFilm
    span: Span
    cuts: tuple[int, ...]
    piece: Piece | None = None


class ShotWorker:
    """Upscales the shots of tasks, with a model that is loaded once."""

    def __init__(self, config: UpscaleConfig, load_model: LoadModel) -> None:
        self._config = config
        self._model = load_model(config)
        self._film: _OpenFilm | None = None

    def __call__(self, task: ShotTask, tell: Tell) -> tuple[int, ...]:
        """Return the first frames of the shots of a task, which are finished and stored.

        Raises WorkerBrokenError if the GPU of this process does not work any more.
        """
        try:
            return self._opened(task.film).upscale(task, tell)
        except RuntimeError as error:
            if any(words in str(error) for words in _GPU_FAILURES):
                raise WorkerBrokenError(
                    f"the GPU of a worker on {socket.gethostname()} failed ({first_line(error)})"
                ) from error
            raise

    def close(self) -> None:
        """Leave the film of the last task, and remove what was kept of it here."""
        if self._film is not None:
            self._film.close()
        self._film = None

    def _opened(self, film: OfferedFilm) -> "_OpenFilm":
        if self._film is None or self._film.token != film.token:
            self.close()
            self._film = _OpenFilm(film, self._config, self._model)
        return self._film


def model_identity(load_model: LoadModel, config: UpscaleConfig) -> Identity:
    """Return the identity of the model on the machine of a worker, whose device it names."""
    return load_model(config).identity()


class _OpenFilm:
    """A film of which this worker has made shots, and its reader."""

    def __init__(self, film: OfferedFilm, config: UpscaleConfig, model: Model) -> None:
        self.token = film.token
        self._open = ExitStack()
        try:
            self._begin(film, config, model)
        except BaseException:
            self.close()
            raise

    def _begin(self, film: OfferedFilm, config: UpscaleConfig, model: Model) -> None:
        source = film.film.source
        if not film.is_seen:
            source = film.copied(self._scratch())
            _log.info("%s has its own copy of %s", socket.gethostname(), film.film.source)
        job = Job.of(source, film.film.output, config)
        work = self._work = self._folder(film, job.identity(model))
        timer = NullTimer()
        ticks = ClipTicks(timer)
        self._worker = Worker(job, work, lambda: model.load(job.size, ticks), timer, ticks)
        self._guard = SourceGuard.of(source)
        self._reader = _SpanReader(job)
        self._open.callback(self._reader.close)

    def upscale(self, task: ShotTask, tell: Tell) -> tuple[int, ...]:
        """Make a task, and return the first frames of the shots that begin in it."""
        piece, work = task.piece, self._work
        work.stretch = None if piece is None else (piece.shot, piece.stretch)
        if isinstance(work, SendingFolder):
            work.send = tell
        clips = self._reader.clips(task)
        shots, _ = self._worker.upscale_clips(clips, self._guard, _ToldMeter(tell))
        self._guard.check()
        return shots if piece is None else piece.shots

    def close(self) -> None:
        self._open.close()

    def _folder(self, film: OfferedFilm, identity: Identity) -> GuestFolder | SendingFolder:
        """Return the driver's folder, or a temporary one if it is not seen from here."""
        guest = GuestFolder(film.film.output, identity, film.identity, film.token)
        if guest.is_seen:
            return guest
        output = self._scratch() / film.film.output.name
        return SendingFolder(output, identity, film.identity)

    def _scratch(self) -> Path:
        """Return a new temporary folder, which is removed with the film."""
        try:
            return self._open.enter_context(ScratchFolder()).path
        except OSError as error:
            raise OutputError(
                f"the worker on {socket.gethostname()} cannot make a temporary folder: "
                f"{error.strerror or error}; TMPDIR names another one"
            ) from error


class _SpanReader:
    """The clips of spans of a film, which is read on from one to the next.

    It begins again for a span that lies before its place, or after one that was not read to its
    end. Frames are the same as when the whole film is read.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._open = ExitStack()
        self._frames: Iterator[Frame] | None = None
        self._restorer: Restorer | None = None
        self._place = self._skipped = self._wanted = 0
        self._is_within = False

    def close(self) -> None:
        self._open.close()
        self._frames = None

    def clips(self, task: ShotTask) -> Iterator[Clip]:
        """Yield the clips of a task, numbered as in the whole source."""
        span = task.span
        if self._frames is None or self._is_within or span.first < self._place:
            self._frames = self._begin()
        self._is_within = True
        place, self._place = self._place, span.end
        self._wanted = self._skipped + span.first
        marked = self._marked(self._frames, range(place, span.end), frozenset(task.cuts))
        if self._restorer is not None:
            marked = self._restorer.frames(marked)
        wanted = islice(marked, span.first - place, None)
        if task.piece is None:
            yield from clips_of(self._job, wanted, self._wanted)
        else:
            frames, share = (frame for frame, _ in wanted), self._job.reuses_repeats
            yield from clips_of_piece(frames, task.piece, share_repeats=share)
        self._is_within = False

    def _begin(self) -> Iterator[Frame]:
        """Return the frames of the source from its first one on."""
        self.close()
        reader = self._open.enter_context(self._job.reader())
        first = next(reader)
        self._skipped, self._place = frame_number(first, reader.info), 0
        self._restorer = None
        if self._job.repairs:
            self._restorer = Restorer(
                self._job.repairs,
                first_frame=self._skipped,
                first_needed=self._first_needed,
                pictures=self._job.repair_pictures,
            )
        return chain((first,), reader)

    def _marked(
        self, frames: Iterator[Frame], places: range, cuts: frozenset[int]
    ) -> Iterator[tuple[Frame, bool]]:
        """Yield the next frames, those at `places`; those at `cuts` start a shot."""
        for number in places:
            frame = next(frames, None)
            if frame is None:
                raise InputError(
                    f"{self._job.source} ends earlier on {socket.gethostname()} than where its "
                    "shots were found: run the same command again when all machines see the same "
                    "file"
                )
            yield frame, number in cuts

    def _first_needed(self, number: int, first: int) -> int | None:
        """Return the first frame of the shot that is repaired; see `Restorer`."""
        del number
        return first if first >= self._wanted else None


class _ToldMeter(SentMeter):
    """Tells the driver of the frames that are done."""

    __slots__ = ()

    def reach(self, frames: float) -> None:
        """Tell nothing: clips of other workers end meanwhile."""
