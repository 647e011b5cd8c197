"""File to file: a film is made shot by shot, kept on the disk clip by clip, and joined at the end.

    source ─ shots ─ clips ─ larger ─ kept in OUT.vsr/ (states, pictures, parts) ─ joined ─ OUT

Whatever ends a run, the same command goes on where it stopped. Several processes claim shot by shot
and one of them joins. The bytes of the output are the same in any case, since they are those of the
parts, and a part is the same whoever makes it.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from vsr import __version__
from vsr.checkpoints.find import native_scale
from vsr.config import UpscaleConfig
from vsr.errors import InputError, OutputError
from vsr.jobs.model import ConfiguredModel, Model
from vsr.jobs.progress import Advance, ShowProgress, no_progress
from vsr.jobs.resume.identity import options_identity, source_identity
from vsr.jobs.resume.work_folder import Film, WorkFolder, finish_after_crash
from vsr.jobs.target import default_output, encoder_settings
from vsr.jobs.worker import ShotMaker
from vsr.runtime.launcher import launched_with_others, made_by_this_launch
from vsr.runtime.timing import NullTimer, Timer
from vsr.upscaling.sizes import Size, clip_length, output_size
from vsr.video.probe import VideoInfo, probe
from vsr.video.times import exact_seconds
from vsr.video.writing.encoding import Encoding
from vsr.video.writing.output_file import OutputFile, check_output, encoding_of
from vsr.video.writing.parts import Part
from vsr.video.writing.stream_copier import source_range

_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class UpscaleReport:
    """What a run made, and in how many seconds, without those of loading the model.

    No frames: it was found finished, or the others of this launch have made it.
    """

    output: Path
    frames: int
    size: Size
    seconds: float

    def __str__(self) -> str:
        files = [path for path in (self.output, *self.output.rglob("*")) if path.is_file()]
        megabytes = sum(path.stat().st_size for path in files) / 1e6
        if self.frames == 0:
            return (
                f"{self.output} is whole ({megabytes:.1f} MB): an earlier run or another process "
                "has made it"
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
) -> UpscaleReport:
    """Upscale the video or image folder `source` into `output`, and return what was made.

    The output appears under its name when it is complete. Until then finished clips are kept in
    `OUTPUT.vsr`: called again after whatever ended it, it goes on there, to the same bytes. With
    `config.share`, or under a launcher, several processes make one output. `model` stands in for
    the one that `config` names. A damaged source gives the frames that decode, and then an
    InputError unless `config.tolerant`.
    """
    report = upscale_or_leave(
        source, output, config, model=model, timer=timer, progress=progress, wait=True
    )
    assert report is not None
    return report


def upscale_or_leave(
    source: Path,
    output: Path | None = None,
    config: UpscaleConfig | None = None,
    *,
    model: Model | None = None,
    timer: Timer | None = None,
    progress: ShowProgress = no_progress,
    wait: bool,
) -> UpscaleReport | None:
    """As `upscale`, but without `wait` None where other processes are at all that is left."""
    config = config or UpscaleConfig()
    job = _Job.of(source, output, config)
    if finish_after_crash(job.output) or made_by_this_launch(job.output):
        return UpscaleReport(job.output, 0, job.size, 0)
    job.check()
    model = model or ConfiguredModel(config)
    work = job.work_folder(model)
    try:
        with work, progress(_expected_frames(job.info, config)) as advance:
            report = _made(job, work, model, timer=timer or NullTimer(), advance=advance, wait=wait)
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(_kept(work)) from interrupt
    except OutputError:
        # What others have made whole vanishes under the hands of those that come late.
        if not (job.shares and work.is_gone and job.output.exists()):
            raise
        report = None
    if report is None and work.is_gone and job.output.exists():
        return UpscaleReport(job.output, 0, job.size, 0)
    return report


def _made(
    job: "_Job", work: WorkFolder, model: Model, *, timer: Timer, advance: Advance, wait: bool
) -> UpscaleReport | None:
    """Make the shots and join them; None where others do what is left of it."""
    began = time.monotonic()
    maker = ShotMaker(
        source=job.source,
        config=job.config,
        clip_frames=job.clip_frames,
        encoding=job.encoding,
        work=work,
        load=lambda: model.load(job.size, timer),
        timer=timer,
        advance=advance,
    )
    film = maker.make_all(wait=wait)
    if film is None or not _joined(job, work, film, wait=wait):
        return None
    _check_damage(job, film)
    seconds = time.monotonic() - began - maker.load_seconds
    return UpscaleReport(job.output, film.frames, job.size, seconds)


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be made of what, with every choice made."""

    source: Path
    output: Path
    config: UpscaleConfig
    info: VideoInfo
    size: Size
    clip_frames: int
    encoding: Encoding | None

    @classmethod
    def of(cls, source: Path, output: Path | None, config: UpscaleConfig) -> "_Job":
        info = probe(source, rate=config.frame_rate)
        small = Size(info.height, info.width)
        scale = native_scale(config.model)
        size = output_size(small, config, native=scale)
        output = output or default_output(source, config, native=scale)
        encoding = encoding_of(output, info, (size.width, size.height), encoder_settings(config))
        return cls(source, output, config, info, size, clip_length(small, config), encoding)

    @property
    def shares(self) -> bool:
        return self.config.share or launched_with_others()

    def check(self) -> None:
        check_output(
            self.output,
            source_path=self.source,
            settings=encoder_settings(self.config),
            overwrite=self.config.overwrite,
        )

    def work_folder(self, model: Model) -> WorkFolder:
        identity = {
            **source_identity(self.source),
            **options_identity(self.config, version=__version__),
            **model.identity(),
            "size": str(self.size),
            "clip_frames": self.clip_frames,
        }
        return WorkFolder(self.output, identity, share=self.shares, restart=self.config.restart)


def _joined(job: _Job, work: WorkFolder, film: Film, *, wait: bool) -> bool:
    """Join the parts, or let another process do it; False where that has not ended."""
    while (partial := work.claim_join()) is None:
        if work.is_gone or not wait:
            return work.is_gone
        time.sleep(_POLL_SECONDS)
    config = job.config
    length = None if config.duration is None else exact_seconds(config.duration)
    with OutputFile(
        job.output,
        source=job.info,
        encoding=job.encoding,
        span=source_range(job.info, exact_seconds(config.start), length),
        delay=max((part.delay for _, part in work.parts(film)), default=0),
        partial=partial,
        note_whole=work.note_joined,
    ) as output:
        for folder, fact in work.parts(film):
            if not fact.part.is_whole(folder):
                raise _damaged(work, film)
            output.add(Part.load(folder / fact.part.name))
    work.finish()
    return True


def _damaged(work: WorkFolder, film: Film) -> OutputError:
    """Delete all parts that are damaged, so that they are made again."""
    damaged = [
        folder / f.part.name for folder, f in work.parts(film) if not f.part.is_whole(folder)
    ]
    for path in damaged:
        path.unlink(missing_ok=True)
    return OutputError(
        f"{len(damaged)} parts in {work.path} are damaged, and deleted now: run the same command "
        "again, to make them anew"
    )


def _check_damage(job: _Job, film: Film) -> None:
    if film.damage and not job.config.tolerant:
        raise InputError(
            f"{job.source} is damaged: {film.damage}; the {film.frames} frames that decode are in "
            f"{job.output}"
        )


def _kept(work: WorkFolder) -> str:
    finished = work.finished()
    if not finished:
        return ""
    return f"interrupted; {finished} are kept in {work.path}: the same command goes on"


def _expected_frames(info: VideoInfo, config: UpscaleConfig) -> int | None:
    """How many frames will come: the container's word for the whole, a share of it for a part."""
    if info.frame_count is None or info.duration is None:
        return info.frame_count
    whole = float(info.duration)
    part = min(whole - config.start, config.duration or whole)
    return round(info.frame_count * part / whole) if part < whole else info.frame_count
