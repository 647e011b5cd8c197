"""Batches: a folder or a list of films, one after the other or split among ranks."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vsr import __version__
from vsr.checkpoints.find import native_scale
from vsr.config import UpscaleConfig
from vsr.errors import InputError, OutputError, VsrError
from vsr.jobs.model import ConfiguredModel, Model
from vsr.jobs.progress import ShowProgress, no_progress
from vsr.jobs.resume.identity import options_identity
from vsr.jobs.resume.journal import read_lines, write_error
from vsr.jobs.resume.own_files import work_path
from vsr.jobs.resume.run_folder import RunFolder
from vsr.jobs.target import default_output, named
from vsr.jobs.upscale import UpscaleReport, upscale
from vsr.runtime.files import append_lines
from vsr.runtime.launcher import ALONE, Ranks, launched_ranks
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


@dataclass(frozen=True, slots=True)
class BatchFilm:
    """One film of a batch: its source and its output."""

    source: Path
    output: Path


@dataclass(frozen=True, slots=True)
class Batch:
    """Films with the same options; the work folder is beside `place`."""

    place: Path
    films: tuple[BatchFilm, ...]


@dataclass(frozen=True, slots=True)
class BatchReport:
    """The films that are done, and those that failed with their errors."""

    done: tuple[UpscaleReport, ...]
    failed: tuple[tuple[BatchFilm, Exception], ...]

    def __str__(self) -> str:
        lines = [str(report) for report in self.done]
        lines += [f"FAILED {film.source}: {_one_line(e)}" for film, e in self.failed]
        total = len(self.done) + len(self.failed)
        failures = f", {len(self.failed)} failed" if self.failed else ""
        return "\n".join([*lines, f"{len(self.done)} of {total} done{failures}"])

    def check(self) -> None:
        """Raise InputError if a film failed."""
        if self.failed:
            total = len(self.done) + len(self.failed)
            raise InputError(
                f"{len(self.failed)} of {total} films failed, as listed; the same command "
                "continues with them when the causes are gone"
            )


def batch_of(source: Path, output: Path | None, config: UpscaleConfig) -> Batch | None:
    """Return the films of a folder of videos or a list (.txt); None if `source` is one film.

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
    films = [BatchFilm(path, _output_of(path, config, scale)) for path in sources]
    if output is not None:
        films = [BatchFilm(film.source, output / film.output.name) for film in films]
    _check_names(films)
    return Batch(output or source, tuple(films))


def upscale_batch(
    batch: Batch,
    config: UpscaleConfig | None = None,
    *,
    model: Model | None = None,
    progress: ShowProgress = no_progress,
    ranks: Ranks | None = None,
) -> BatchReport:
    """Upscale all films of a batch; one that fails does not stop the others.

    Called again, it continues with those that are left. The ranks of a launch take films by number,
    or, where there are fewer films than ranks, the shots of every film.
    """
    config = config or UpscaleConfig()
    model, ranks = model or ConfiguredModel(config), ranks or launched_ranks()
    done: list[UpscaleReport] = []
    failed: list[tuple[BatchFilm, Exception]] = []
    films, film_ranks = batch.films, ranks
    if len(films) >= ranks.world:
        films = tuple(film for i, film in enumerate(films) if ranks.takes(i))
        film_ranks = ALONE
    with BatchFolder(batch, config, model, ranks) as folder:
        for film in films:
            try:
                if folder.is_done(film):
                    done.append(_earlier_report(film))
                    continue
                _log.info("%s", film.source)
                folder.note_begun(film)
                done.append(
                    upscale(
                        film.source, film.output, config,
                        model=model, progress=progress, ranks=film_ranks,
                    )
                )  # fmt: skip
                folder.note_done(film)
            # A batch's one boundary: no error of a library may end a night's work.
            except Exception as error:
                _log.error("%s: %s", film.source, _one_line(error))
                _log.debug("%s", film.source, exc_info=error)
                failed.append((film, error))
    return BatchReport(tuple(done), tuple(failed))


def _earlier_report(film: BatchFilm) -> UpscaleReport:
    info = probe(film.output)
    return UpscaleReport(film.output, 0, Size(info.height, info.width), 0)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, VsrError) else f"{type(error).__name__}: {text}"


class BatchFolder(RunFolder):
    """The films of a batch that are done, by all ranks."""

    def __init__(self, batch: Batch, config: UpscaleConfig, model: Model, ranks: Ranks) -> None:
        identity = {**options_identity(config, version=__version__), **model.identity()}
        super().__init__(batch.place, identity, ranks=ranks, restart=config.restart)
        self._films = batch.films

    def finished(self) -> str:
        """Return the number of finished films in words; an empty string if there are none."""
        done = sum(map(self.is_done, self._films))
        return f"{done} films" if done else ""

    def is_complete(self) -> bool:
        """Return whether all films are done."""
        return all(map(self.is_done, self._films))

    def note_begun(self, film: BatchFilm) -> None:
        """Note that a film begins, and which file its output replaces."""
        self._note({"begun": str(film.output), "replaces": _inode(film.output)})

    def note_done(self, film: BatchFilm) -> None:
        """Note that a film is done."""
        self._note({"made": str(film.output)})

    def is_done(self, film: BatchFilm) -> bool:
        """Return whether a run of this batch has made the film, and it is still there.

        A run that was killed after it had put the film in its place has not noted that.
        """
        if not film.output.exists() or work_path(film.output).exists():
            return False
        name, inode = str(film.output), _inode(film.output)
        lines = [line for path in self._notes() for line in read_lines(path)]
        begun = [line for line in lines if line.get("begun") == name]
        return any(line.get("made") == name for line in lines) or (
            bool(begun) and begun[-1].get("replaces") != inode
        )

    def _note(self, line: dict[str, object]) -> None:
        self.check_in_place()
        path = self.path / f"rank{self.ranks.rank:04d}.films.jsonl"
        try:
            path.touch()
            append_lines(path, json.dumps(line))
        except OSError as error:
            raise write_error(path, error) from error

    def _notes(self) -> list[Path]:
        return sorted(self.path.glob("rank*.films.jsonl"))


def _inode(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def _videos(folder: Path) -> list[Path]:
    """Return the videos of a folder, sorted; none for a folder of pictures."""
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
        _log.info("%s is skipped: not a video", other)
    return sorted(videos)


def _listed(path: Path) -> list[Path]:
    """Return the films that a list names, one a line, relative to it; # begins a comment."""
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


def _check_names(films: Sequence[BatchFilm]) -> None:
    by_output: dict[Path, Path] = {}
    for film in films:
        other = by_output.setdefault(film.output, film.source)
        if other != film.source:
            raise OutputError(
                f"{other} and {film.source} would both become {film.output}; rename one of them"
            )
