"""File to file: a film is upscaled shot by shot, stored clip by clip, and joined at the end.

    source ─ shots ─ clips ─ upscaled ─ stored in OUT.vsr/ (states, pixels, parts) ─ joined ─ OUT

Whatever ends a run, the same command continues where it stopped. The ranks of a launch take shots
by number, and rank 0 joins them. The bytes of the output do not depend on either: they are those of
the parts, and a part is the same in whichever run and on whichever rank it was made.
"""

import logging
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vsr.config import UpscaleConfig
from vsr.errors import InputError, OutputError
from vsr.jobs.clip_ticks import ClipTicks
from vsr.jobs.job import Job
from vsr.jobs.model import ConfiguredModel, Model
from vsr.jobs.progress import ShowProgress, metered, no_progress
from vsr.jobs.resume.own_files import is_emptied, work_path
from vsr.jobs.resume.work_folder import ShotList, WorkFolder, clean_up, is_joined
from vsr.jobs.worker import Worker
from vsr.runtime.files import write_atomically
from vsr.runtime.launcher import Ranks, launched_ranks
from vsr.runtime.timing import NullTimer, Timer
from vsr.upscaling.sizes import Size
from vsr.video.color import FULL
from vsr.video.writing.av1_grain import announcing_grain, with_film_grain
from vsr.video.writing.encoding import Encoding
from vsr.video.writing.film_grain import FilmGrain, GrainSpan, grain_table
from vsr.video.writing.muxer import PicturesRefusedError
from vsr.video.writing.output_file import OutputFile
from vsr.video.writing.parts import Part

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UpscaleReport:
    """The result of a run, and its seconds without those of loading the model.

    `frames` is 0 if the output was found complete, or another rank has joined it. `shots` are the
    numbers of their first frames in the source.
    """

    output: Path
    frames: int
    size: Size
    seconds: float
    shots: tuple[int, ...] = ()

    def __str__(self) -> str:
        files = [path for path in (self.output, *self.output.rglob("*")) if path.is_file()]
        megabytes = sum(path.stat().st_size for path in files) / 1e6
        if self.frames == 0:
            return (
                f"{self.output} is whole ({megabytes:.1f} MB): an earlier run or another rank has "
                "made it"
            )
        return (
            f"{self.frames} frames at {self.size.width}x{self.size.height} in {self.seconds:.1f} s "
            f"({self.frames / self.seconds:.2f} frames/s): {self.output} ({megabytes:.1f} MB)"
        )


def upscale(
    source: Path,
    output: Path | None = None,
    config: UpscaleConfig | None = None,
    *,
    model: Model | None = None,
    timer: Timer | None = None,
    progress: ShowProgress = no_progress,
    ranks: Ranks | None = None,
) -> UpscaleReport:
    """Upscale the video or image folder `source` into `output`, and return a report.

    The output appears under its name when it is complete. Until then finished clips are stored in
    `OUTPUT.vsr`: called again after whatever ended it, it continues there, to the same bytes.
    `model` replaces the one that `config` names. `ranks` says which shots this process upscales;
    without it, those that the launcher assigns. A damaged source gives the frames that decode, and
    then an InputError unless `config.tolerant`.
    """
    job = Job.of(source, output, config or UpscaleConfig())
    ranks = ranks or launched_ranks()
    if report := made_before(job, ranks):
        return report
    model, timer = model or ConfiguredModel(job.config), timer or NullTimer()
    work = WorkFolder(job.output, job.identity(model), ranks=ranks, restart=job.config.restart)
    job.log_size()
    began = time.monotonic()
    ticks = ClipTicks(timer)
    worker = Worker(job, work, lambda: model.load(job.size, ticks), timer, ticks)
    try:
        with work, progress(job.expected_frames) as advance:
            shots = None
            if not work.is_joined:
                shots = work.finished_shots() or worker.upscale_shots(metered(advance))
            if ranks.rank:
                work.wait_for_output()
            elif shots is None:
                work.remove()
            else:
                work.wait_for_shots(shots)
                join(job, work, shots)
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(kept(work)) from interrupt
    if shots is None or ranks.rank:
        return UpscaleReport(job.output, 0, job.size, 0)
    worker.report_savings()
    check_damage(job, shots)
    seconds = time.monotonic() - began - worker.load_seconds
    return UpscaleReport(job.output, shots.frames, job.size, seconds, shots.shots)


def made_before(job: Job, ranks: Ranks) -> UpscaleReport | None:
    """Return the report where an earlier run has left the output whole; None: there is work.

    Raises OutputError for an output that cannot be written.
    """
    if not _is_made(job, ranks):
        job.check_output()
    elif ranks.world == 1:
        clean_up(job.output)
        return UpscaleReport(job.output, 0, job.size, 0)
    return None


def join(job: Job, work: WorkFolder, shots: ShotList) -> None:
    """Join the parts to the output, and remove the work folder."""
    with _way_to_the_film(job, work):
        _join(job, work, shots)


def check_damage(job: Job, shots: ShotList) -> None:
    """Raise InputError for a film that was damaged, unless `config.tolerant`."""
    if shots.damage and not job.config.tolerant:
        raise InputError(
            f"{job.source} is damaged: {shots.damage}; the {shots.frames} frames that decode are "
            f"in {job.output}, and --tolerant accepts them"
        )


def kept(work: WorkFolder) -> str:
    """Return the words for an interrupt: what of the work is kept."""
    finished = work.finished()
    if not finished:
        return ""
    return f"interrupted; {finished} are kept in {work.path}: the same command goes on"


def _is_made(job: Job, ranks: Ranks) -> bool:
    """Return whether a run that was killed at its very end has left the output whole.

    An empty folder says so to a run without other ranks; one that replaces outputs and makes
    nothing leaves it too.
    """
    can_tell = ranks.world == 1 and not job.config.overwrite
    return (can_tell and is_emptied(job.output)) or is_joined(job.output)


def _join(job: Job, work: WorkFolder, shots: ShotList) -> None:
    grain = None if job.grain_table is None else _PlayerGrain.of(job, work)
    with OutputFile(
        job.output,
        source=job.info,
        encoding=job.encoding if grain is None else announcing_grain(grain.encoding),
        span=job.span,
        delay=max((part.delay for _, part in work.parts(shots)), default=0),
        partial=work.partial(),
        note_whole=work.note_joined,
        overwrite=job.config.overwrite,
        codec=job.config.codec,
    ) as output:
        for folder, fact in work.parts(shots):
            if not fact.part.is_whole(folder):
                raise work.delete_damaged(shots)
            part = Part.load(folder / fact.part.name)
            output.add(part if grain is None else grain.told(part))
    if grain is not None and job.grain_table is not None:
        write_atomically(job.grain_table, grain.table(job.info.time_base).encode())
        _log.info("the player adds the grain; its table is %s", job.grain_table)
    work.remove()


@dataclass(frozen=True, slots=True)
class _PlayerGrain:
    """The grain of a film that the player adds, by the pts of frames from which on it holds."""

    encoding: Encoding
    noted: tuple[tuple[int, FilmGrain | None], ...]

    @classmethod
    def of(cls, job: Job, work: WorkFolder) -> "_PlayerGrain":
        assert job.encoding is not None, "checked with the output"
        return cls(job.encoding, tuple(work.noted_grain()))

    def told(self, part: Part) -> Part:
        """Return a part, of one shot, with its grain."""
        first = min(frame.pts for frame in part.frames)
        grain = next(grain for pts, grain in reversed(self.noted) if pts <= first)
        is_full = self.encoding.color.range == FULL
        return with_film_grain(part, grain, is_full=is_full, seed=first % 2**16)

    def table(self, time_base: Fraction) -> str:
        """Return the table, with the times of the output."""
        begin = self.noted[0][0]
        return grain_table(
            [
                GrainSpan((pts - begin) * time_base, grain, seed=pts % 2**16)
                for pts, grain in self.noted
            ]
        )


@contextmanager
def _way_to_the_film(job: Job, work: WorkFolder) -> Generator[None]:
    """Say how to get the film of finished work where the file type does not take its pictures."""
    try:
        yield
    except PicturesRefusedError as error:
        other = ".mp4" if job.output.suffix.lower() == ".mkv" else ".mkv"
        output = job.output.with_suffix(other)
        raise OutputError(
            f"{error}; the finished work is kept: rename {work.path} to {work_path(output)}, and "
            f"run the same command with the output {output}"
        ) from error
