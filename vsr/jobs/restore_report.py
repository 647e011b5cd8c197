"""A run with a page about its repairs: the wear of the film, and its most repaired frames."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from vsr.config import UpscaleConfig
from vsr.errors import ConfigError, as_output_error
from vsr.jobs.job import Job
from vsr.jobs.progress import ShowProgress, no_progress
from vsr.jobs.report import ReportedRun, source_and_output
from vsr.jobs.upscale import upscale
from vsr.reporting.repair_page import write_repair_page
from vsr.restoration.measure import measure
from vsr.runtime.launcher import launched_ranks
from vsr.video.pixels import Pixels

_MEASURED = 13
"""Frames in which the wear is measured."""


def upscale_with_restore_report(
    source: Path,
    output: Path | None = None,
    config: UpscaleConfig | None = None,
    *,
    progress: ShowProgress = no_progress,
) -> ReportedRun:
    """Upscale as `upscale` does, and write `NAME.restore.html` beside the output.

    The page is made from the finished output, which is read once more beside the source. Raises
    ConfigError where no repair is asked for, OutputError where the page cannot be written.
    """
    config = config or UpscaleConfig()
    if not config.repairs:
        raise ConfigError(
            "--restore-report shows repairs, and none is asked for: give --restore film"
        )
    report = upscale(source, output, config, progress=progress)
    if launched_ranks().rank:
        return ReportedRun(report, None)
    job = Job.of(source, report.output, config)
    page = report.output.with_name(f"{report.output.stem}.restore.html")
    films = source_and_output(job, report.output)
    with as_output_error(page):
        title = f"Repairs of {job.source.name}"
        write_repair_page(films, page, list(_rows(job)), title=title)
    return ReportedRun(report, page)


def _sample(job: Job) -> list[Pixels]:
    """Return some frames from the middle of the film."""
    config, whole = job.config, float(job.info.duration or 0)
    length = max(0.0, whole - config.start) if config.duration is None else config.duration
    part = replace(job, config=replace(config, start=config.start + length / 2, duration=None))
    with part.reader() as reader:
        return [frame.pixels for frame in islice(reader, _MEASURED)]


def _rows(job: Job) -> Iterator[tuple[str, str]]:
    wear = measure(_sample(job))
    yield "wear", str(wear)
    yield "repairs", str(job.repairs)
    yield "needed", ", ".join(wear.repairs) or "none: the film is clean as far as was looked"
