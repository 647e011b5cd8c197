"""A run with a page about it: settings, times, shots, warnings, streams, and how it looks."""

import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

from vsr import __version__
from vsr.config import UpscaleConfig
from vsr.errors import as_output_error
from vsr.jobs.job import Job
from vsr.jobs.progress import ShowProgress, no_progress
from vsr.jobs.upscale import UpscaleReport, upscale
from vsr.reporting.films import Film
from vsr.reporting.run_page import RunFacts, write_run_page
from vsr.runtime.launcher import launched_ranks
from vsr.runtime.timing import StageTimer
from vsr.video.writing.stream_fates import container_losses, stream_fates

_IRRELEVANT = ("overwrite", "restart")


@dataclass(frozen=True, slots=True)
class ReportedRun:
    """The result of a run, and its page; None on a rank that does not join the output."""

    report: UpscaleReport
    page: Path | None

    def __str__(self) -> str:
        return str(self.report) if self.page is None else f"{self.report}\nreport: {self.page}"


def upscale_with_report(
    source: Path,
    output: Path | None = None,
    config: UpscaleConfig | None = None,
    *,
    progress: ShowProgress = no_progress,
) -> ReportedRun:
    """Upscale as `upscale` does, and write `NAME.report.html` beside the output.

    The page is made from the finished output, which is read once more beside the source.
    """
    config = config or UpscaleConfig()
    timer = StageTimer()
    with run_warnings() as lines:
        report = upscale(source, output, config, timer=timer, progress=progress)
    if launched_ranks().rank:
        return ReportedRun(report, None)
    page = report_path(report.output)
    write_report(Job.of(source, report.output, config), report, page, timer.seconds, lines)
    return ReportedRun(report, page)


def report_path(output: Path) -> Path:
    """Return the page beside an output."""
    return output.with_name(f"{output.stem}.report.html")


def write_report(
    job: Job,
    report: UpscaleReport,
    page: Path,
    seconds: Mapping[str, float],
    warnings: Sequence[str],
) -> None:
    """Write the page of a run; `seconds` are those of its stages. OutputError if that fails."""
    facts = RunFacts(
        rows=list(_rows(job, report)),
        seconds=seconds,
        shots=_from_start(report.shots),
        streams=list(_streams(job)),
        warnings=warnings,
    )
    films = source_and_output(job, report.output)
    with as_output_error(page):
        write_run_page(films, page, facts, title=f"Report on {report.output.name}")


def source_and_output(job: Job, output: Path) -> tuple[Film, Film]:
    """Return the source of a job and its output, to be compared under their own names."""
    return (
        Film(job.info, job.source.name, job.reader),
        replace(Film.of(output), name=output.name),
    )


@contextmanager
def run_warnings() -> Generator[list[str]]:
    """Collect the warnings of a run, each once."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() not in lines:
                lines.append(record.getMessage())

    handler, logger = Collector(logging.WARNING), logging.getLogger("vsr")
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


def _rows(job: Job, report: UpscaleReport) -> Iterator[tuple[str, str]]:
    info, encoding = job.info, job.encoding
    yield "source", f"{job.source.name}: {info.width}x{info.height}, {info.codec} {info.pix_fmt}"
    form = "PNG" if encoding is None else f"{encoding.codec} {encoding.pix_fmt}"
    yield "output", f"{report.output.name}: {report.size}, {form}"
    if report.frames:
        speed = report.frames / report.seconds
        yield "frames", f"{report.frames} in {report.seconds:.1f} s ({speed:.2f} frames/s)"
    else:
        yield "frames", "made by an earlier run"
    yield "frames in memory", str(job.clip_frames)
    yield from _settings(job.config)
    yield "vsr", __version__


def _settings(config: UpscaleConfig) -> Iterator[tuple[str, str]]:
    """The model, and every option that is not at its default."""
    yield "model", config.model
    yield "texture", config.texture_model or "none"
    default = UpscaleConfig()
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name in ("model", "texture", *_IRRELEVANT) or value == getattr(
            default, field.name
        ):
            continue
        yield field.name.replace("_", " "), str(value)


def _streams(job: Job) -> Iterator[tuple[str, str]]:
    for fate in stream_fates(job.info, job.output):
        what = "copied" if fate.is_kept else f"left out: {fate.reason}"
        yield f"{fate.stream.index}: {fate.stream}", what
    for loss in container_losses(job.info, job.output):
        yield "container", loss


def _from_start(shots: tuple[int, ...]) -> tuple[int, ...]:
    """Shots counted from the first frame of the run instead of the film's."""
    return tuple(number - shots[0] for number in shots)
