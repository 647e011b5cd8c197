"""A few seconds of the output and a page to compare it, before a whole film is made."""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from vsr.checkpoints.find import native_scale
from vsr.config import UpscaleConfig
from vsr.errors import OutputError, as_output_error
from vsr.jobs.job import Job
from vsr.jobs.progress import ShowProgress, no_progress
from vsr.jobs.target import default_output
from vsr.jobs.upscale import UpscaleReport, upscale
from vsr.reporting.films import Film
from vsr.reporting.preview import write_preview
from vsr.upscaling.sizes import Size

PREVIEWS = ".vsr_previews"
"""The folder beside an output that holds its previews."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The upscaled slice, a page to compare it with the source, and a picture of their crops."""

    report: UpscaleReport
    page: Path
    picture: Path
    source: Size

    def __str__(self) -> str:
        sizes = f"{self.source} to {self.report.size}"
        return f"{self.report}\n{sizes}; compare it with the source: {self.page} or {self.picture}"


def preview(
    source: Path,
    output: Path | None = None,
    config: UpscaleConfig | None = None,
    *,
    seconds: float,
    progress: ShowProgress = no_progress,
) -> Preview:
    """Upscale the first seconds from `config.start` on, as `.vsr_previews/NAME.preview.EXT`.

    The folder is beside the output, and hidden: a preview is no film of the folder.
    `NAME.preview.html` shows it and the source, enlarged by bicubic interpolation, with a slider;
    `NAME.preview.png` has crops of three moments. All replace those of an earlier preview.
    """
    config = config or UpscaleConfig()
    output = output or default_output(source, config, native=native_scale(config.model))
    short = replace(config, duration=seconds, overwrite=True, restart=True)
    film, page, picture = (
        _preview_path(output, suffix) for suffix in (output.suffix, ".html", ".png")
    )
    try:
        film.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{film.parent} cannot be made: {error.strerror or error}") from error
    try:
        report = upscale(source, film, short, progress=progress)
    except BaseException:
        with suppress(OSError):
            film.parent.rmdir()  # only an empty one
        raise
    job = Job.of(source, report.output, short)
    films = (
        Film(job.info, "bicubic", job.reader),
        replace(Film.of(report.output), name=Path(config.model).name),
    )
    with as_output_error(page):
        write_preview(films, page=page, picture=picture, title=f"Preview of {source.name}")
    return Preview(report, page, picture, job.source_size)


def _preview_path(output: Path, suffix: str) -> Path:
    return output.parent / PREVIEWS / f"{output.stem}.preview{suffix}"
