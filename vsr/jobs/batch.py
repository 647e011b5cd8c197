"""Many films one after the other: a folder or a list of them, shared out like the shots of one."""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from vsr import __version__
from vsr.checkpoints.find import native_scale
from vsr.config import UpscaleConfig
from vsr.errors import InputError, OutputError, VsrError
from vsr.jobs.model import ConfiguredModel, Model
from vsr.jobs.progress import ShowProgress, no_progress
from vsr.jobs.resume.identity import options_identity
from vsr.jobs.resume.journal import append_line, read_lines
from vsr.jobs.resume.run_folder import RunFolder
from vsr.jobs.target import default_output, named
from vsr.jobs.upscale import UpscaleReport, upscale_or_leave
from vsr.runtime.launcher import launched_with_others
from vsr.upscaling.sizes import Size
from vsr.video.images import IMAGE_SUFFIXES
from vsr.video.probe import probe

_log = logging.getLogger(__name__)

LIST_SUFFIX = ".txt"
VIDEO_SUFFIXES = (
    *(".3g2", ".3gp", ".asf", ".avi", ".dv", ".f4v", ".flv", ".gif", ".m2ts", ".m2v", ".m4v"),
    *(".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogm"),
    *(".ogv", ".rm", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
)
_NOTES = ".films.jsonl"
_POLL_SECONDS = 1.0
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Film:
    """One film of a batch: what is read, and what is written."""

    source: Path
    output: Path


@dataclass(frozen=True, slots=True)
class Batch:
    """Films to be made with the same options; `place` has the name beside which work is kept."""

    place: Path
    films: tuple[Film, ...]


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of every film: what was made, or why it was not."""

    made: tuple[UpscaleReport, ...]
    failed: tuple[tuple[Film, VsrError], ...]

    def __str__(self) -> str:
        lines = [str(report) for report in self.made]
        lines += [f"FAILED {film.source}: {' '.join(str(e).split())}" for film, e in self.failed]
        total = len(self.made) + len(self.failed)
        return "\n".join([*lines, f"{len(self.made)} of {total} films are upscaled"])

    def check(self) -> None:
        """Raise InputError if a film failed."""
        if self.failed:
            total = len(self.made) + len(self.failed)
            raise InputError(
                f"{len(self.failed)} of {total} films failed, as listed; the same command goes on "
                "with them when the causes are gone"
            )


def batch_of(source: Path, output: Path | None, config: UpscaleConfig) -> Batch | None:
    """The films that a folder of videos or a list (.txt) names; None where `source` is one film.

    A folder of pictures is one film. The outputs go into the folder `output`; without one, those of
    a list go beside their sources and those of a folder into one beside it. Raises InputError for
    a folder of both videos and pictures and for a list that names nothing, OutputError where two
    films would have one output.
    """
    if source.is_dir():
        sources = _videos(source)
        if not sources:
            return None
        output = output or named(source).with_name(f"{named(source).name}_upscaled")
    elif source.suffix.lower() == LIST_SUFFIX and source.is_file():
        sources = _listed(source)
    else:
        return None
    if output is not None:
        _make_folder(output)
    if output is not None and source.is_dir() and output.resolve() == source.resolve():
        raise OutputError(f"{output} has the sources in it; give another folder for the outputs")
    scale = native_scale(config.model)
    films = [Film(path, _output_of(path, config, scale)) for path in sources]
    if output is not None:
        films = [Film(film.source, output / film.output.name) for film in films]
    _check_names(films)
    return Batch(output or source, tuple(films))


def upscale_batch(
    batch: Batch,
    config: UpscaleConfig | None = None,
    *,
    model: Model | None = None,
    progress: ShowProgress = no_progress,
) -> BatchReport:
    """Upscale all films of a batch; one that fails does not keep the others from being made.

    Called again, it goes on with those that were not made. Several processes share films and shots
    as in `upscale`.
    """
    config = config or UpscaleConfig()
    model = model or ConfiguredModel(config)
    made: list[UpscaleReport] = []
    failed: list[tuple[Film, VsrError]] = []
    with _BatchFolder(batch, config, model) as folder:

        def attempt(film: Film) -> UpscaleReport | None:
            if folder.is_made(film):
                return _made_before(film)
            _log.info("%s", film.source)
            return upscale_or_leave(
                film.source, film.output, config, model=model, progress=progress, wait=False
            )

        def is_settled(film: Film) -> bool:
            """Make a film, or what is left of it; False if others are still at it."""
            try:
                report = attempt(film)
            except VsrError as error:
                if not folder.is_made_soon(film):
                    _log.error("%s: %s", film.source, error)
                    failed.append((film, error))
                    return True
                report = _made_before(film)
            if report is not None:
                made.append(report)
                folder.note(film)
            return report is not None

        waiting = batch.films
        while left := tuple(film for film in waiting if not is_settled(film)):
            if left == waiting:
                time.sleep(_POLL_SECONDS)
            waiting = left
        if not failed:
            folder.end()
    return BatchReport(tuple(made), tuple(failed))


def _made_before(film: Film) -> UpscaleReport:
    info = probe(film.output)
    return UpscaleReport(film.output, 0, Size(info.height, info.width), 0)


class _BatchFolder:
    """Which films of a batch are made, by whichever process; a context manager, as RunFolder."""

    def __init__(self, batch: Batch, config: UpscaleConfig, model: Model) -> None:
        self._sharing = config.share or launched_with_others()
        identity = {**options_identity(config, version=__version__), **model.identity()}
        self._run = RunFolder(
            batch.place, identity, self._finished, share=self._sharing, restart=config.restart
        )

    def __enter__(self) -> Self:
        self._run.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run.__exit__(kind, error, trace)

    def note(self, film: Film) -> None:
        """A film is made."""
        path = self._run.path / f"{self._run.member.token}{_NOTES}"
        append_line(path, json.dumps({"made": str(film.output)}))

    def is_made(self, film: Film) -> bool:
        """Whether a run of this batch has made a film, and it is still there."""
        return str(film.output) in self._made() and film.output.exists()

    def is_made_soon(self, film: Film) -> bool:
        """Whether it was another process that has just made a film."""
        deadline = time.monotonic() + (_PATIENCE_SECONDS if self._sharing else 0)
        while not (made := self.is_made(film)) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return made

    def end(self) -> None:
        """Every film is made: nothing is needed any more once the last process is here."""
        if not self._run.member.others():
            self._run.remove()

    def _made(self) -> set[str]:
        notes = self._run.path.glob(f"*{_NOTES}")
        return {line["made"] for path in notes for line in read_lines(path)}

    def _finished(self) -> str:
        made = len(self._made())
        return f"{made} films" if made else ""


def _videos(folder: Path) -> list[Path]:
    """The videos of a folder, in natural order; none for a folder of pictures."""
    files = [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]
    kinds = {path: path.suffix.lower() for path in files}
    videos = [path for path in files if kinds[path] in VIDEO_SUFFIXES]
    pictures = [path for path in files if kinds[path] in IMAGE_SUFFIXES]
    if videos and pictures:
        raise InputError(
            f"{folder} holds videos ({videos[0].name}, ...) and pictures ({pictures[0].name}, "
            "...): a folder of pictures is one film, a folder of videos is many; put one kind into "
            "another folder, or name the videos in a list (.txt)"
        )
    for other in sorted(set(files) - set(videos)) if videos else ():
        _log.info("%s is left out: it is no video", other)
    return sorted(videos)


def _listed(path: Path) -> list[Path]:
    """The films that a list names, one a line, seen from its folder; # begins a comment."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a list of films: {error}") from error
    sources = [path.parent / line for line in lines if line and not line.startswith("#")]
    if not sources:
        raise InputError(f"{path} names no film; write the path of one on each line")
    return sources


def _output_of(source: Path, config: UpscaleConfig, scale: int) -> Path:
    try:
        return default_output(source, config, native=scale)
    except InputError:
        return source  # it fails when its turn comes, as it cannot be read


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError as error:
        raise OutputError(f"{folder} is a file; the outputs of a batch go into a folder") from error
    except OSError as error:
        raise OutputError(
            f"{folder}, for the outputs, cannot be made: {error.strerror or error}"
        ) from error


def _check_names(films: Sequence[Film]) -> None:
    by_output: dict[Path, Path] = {}
    for film in films:
        other = by_output.setdefault(film.output, film.source)
        if other != film.source:
            raise OutputError(
                f"{other} and {film.source} would both become {film.output}; give one another name"
            )
