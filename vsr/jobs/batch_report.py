"""A batch with a page about each film, and an index page of all."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vsr.config import UpscaleConfig
from vsr.errors import InputError, VsrError, as_output_error, in_one_line
from vsr.jobs.batch import BatchReport, upscale_batch
from vsr.jobs.batch_folder import file_exists
from vsr.jobs.films import Batch, BatchFilm
from vsr.jobs.job import Job
from vsr.jobs.model import Model
from vsr.jobs.progress import ShowProgress, no_progress
from vsr.jobs.report import report_path, run_warnings, write_report
from vsr.jobs.supervision.messages import Done
from vsr.jobs.upscale import UpscaleReport
from vsr.reporting.batch_page import FilmEntry, write_batch_page
from vsr.reporting.films import Picture
from vsr.runtime.launcher import Ranks, launched_ranks
from vsr.video.images import upright
from vsr.video.pixels import as_uint8
from vsr.video.probe import probe
from vsr.video.reading.reader import VideoReader

_log = logging.getLogger(__name__)

INDEX = "report.html"
"""The index in the folder of the outputs; that of a list lies beside it, under its name."""

_PICTURES = 200
"""The most films of an index with a picture: each adds some 50 kB to the page."""


@dataclass(frozen=True, slots=True)
class ReportedBatch:
    """The result of a batch, and its index page."""

    report: BatchReport
    index: Path

    def __str__(self) -> str:
        return f"{self.report}\nreport: {self.index}"


def upscale_batch_with_report(
    batch: Batch,
    config: UpscaleConfig | None = None,
    *,
    model: Model | None = None,
    progress: ShowProgress = no_progress,
    ranks: Ranks | None = None,
) -> ReportedBatch:
    """Upscale as `upscale_batch` does, and write a page about each film and an index.

    A page that cannot be made fails no film: the log and the index say why. Films that an earlier
    run has made get a page too, if they have none.
    """
    ranks, config = ranks or launched_ranks(), config or UpscaleConfig()
    pages = _Pages(batch, config)
    with run_warnings() as lines:
        report = upscale_batch(
            batch,
            config,
            model=model,
            progress=progress,
            ranks=ranks,
            around_film=pages.around_film,
        )
        pages.write_missing(report.done)
    index = _index_path(batch)
    films = list(pages.entries(report, index.parent))
    with as_output_error(index):
        summary = str(report).splitlines()[-1]
        title = f"Report on {batch.place.name}"
        write_batch_page(index, films, lines, title=title, summary=summary)
    return ReportedBatch(report, index)


@dataclass(slots=True)
class _Pages:
    """The pages of the films, by output; `failed` says why one could not be made."""

    batch: Batch
    config: UpscaleConfig
    failed: dict[Path, str] = field(default_factory=dict[Path, str])
    _names: Counter[Path] = field(init=False)

    def __post_init__(self) -> None:
        self._names = Counter(report_path(film.output) for film in self.batch.films)

    def around_film(self, film: BatchFilm, ranks: Ranks, run: Callable[[], Done]) -> UpscaleReport:
        """Upscale a film and write its page, unless another rank joins the film."""
        with run_warnings() as lines:
            done = run()
        if not ranks.rank:
            self._write(film.source, done.report, done.seconds, lines)
        return done.report

    def write_missing(self, reports: Sequence[UpscaleReport]) -> None:
        """Write the pages of films that an earlier run has made without one."""
        sources = {film.output: film.source for film in self.batch.films}
        for report in reports:
            if report.output not in self.failed and not self._page(report.output).exists():
                self._write(sources[report.output], report, {}, ())

    def entries(self, report: BatchReport, folder: Path) -> Iterator[FilmEntry]:
        """Yield the entry of each film of the batch, with links relative to `folder`."""
        states = dict(self._states(report))
        place = _common_folder([film.source for film in self.batch.films])
        for number, film in enumerate(self.batch.films):
            page = self._page(film.output)
            state = states.get(film.output, "another rank has it")
            if film.output in self.failed:
                state += f"; no page: {self.failed[film.output]}"
            link = None
            is_there = file_exists(film.output)
            if is_there and page.exists():
                link = _relative(page, folder).as_posix()
            picture = _picture(film.output) if is_there and number < _PICTURES else None
            yield FilmEntry(str(_relative(film.source, place)), state, link, picture)

    def _write(
        self,
        source: Path,
        report: UpscaleReport,
        seconds: Mapping[str, float],
        warnings: Sequence[str],
    ) -> None:
        page = self._page(report.output)
        try:
            job = Job.of(source, report.output, self.config)
            write_report(job, report, page, seconds, warnings)
        except (VsrError, OSError) as error:
            self.failed[report.output] = in_one_line(error)
            _log.warning("%s has no page: %s", report.output, in_one_line(error))

    def _page(self, output: Path) -> Path:
        """The page of an output; its name has the ending where two outputs differ in that alone."""
        page = report_path(output)
        return page if self._names[page] < 2 else output.with_name(f"{output.name}.report.html")

    def _states(self, report: BatchReport) -> Iterator[tuple[Path, str]]:
        for done in report.done:
            yield done.output, _state(done)
        for film in report.skipped:
            yield film.output, "skipped: the output exists"
        for film, error in report.failed:
            yield film.output, f"failed: {in_one_line(error)}"


def _state(report: UpscaleReport) -> str:
    if not report.frames:
        return f"{report.size}, made by an earlier run"
    speed = report.frames / report.seconds
    return f"{report.size}, {report.frames} frames in {report.seconds:.1f} s ({speed:.2f} frames/s)"


def _index_path(batch: Batch) -> Path:
    if batch.folder is not None:
        return batch.folder / INDEX
    return batch.place.with_name(f"{batch.place.stem}.{INDEX}")


def _common_folder(films: Sequence[Path]) -> Path:
    """The deepest folder that holds all films of the first one's drive."""
    folders = [film.absolute().parent for film in films]
    drive = folders[0].drive
    return Path(os.path.commonpath([folder for folder in folders if folder.drive == drive]))


def _relative(path: Path, folder: Path) -> Path:
    """The path from a folder on; the whole path where the folder lies on another drive."""
    path, folder = path.absolute(), folder.absolute()
    return path if path.drive != folder.drive else Path(os.path.relpath(path, folder))


def _picture(output: Path) -> Picture | None:
    """A frame of the middle of an output; None where it cannot be read."""
    try:
        info = probe(output)
        with VideoReader(info, start=(info.duration or 0) / 2, tolerant=True) as reader:
            frame = next(iter(reader), None)
    except (InputError, OSError):
        return None
    return None if frame is None else as_uint8(upright(frame.pixels, info.rotation))
