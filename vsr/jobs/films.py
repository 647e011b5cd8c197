"""The films of a batch: those of a folder or of a list, each with its output."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vsr.checkpoints.find import native_scale
from vsr.config import NO_MODEL, UpscaleConfig
from vsr.errors import ConfigError, InputError, OutputError, explained_os_error
from vsr.jobs.film_list import LIST_SUFFIX, listed_films
from vsr.jobs.resume.own_files import is_work_folder
from vsr.jobs.target import default_output, named
from vsr.video.images import natural_key
from vsr.video.mark import is_made_by_vsr
from vsr.video.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vsr.video.writing.encoders import CONTAINER_SUFFIXES

_log = logging.getLogger(__name__)

_NAMED_AT_MOST = 3


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
    folder: Path | None = None
    """The folder for all outputs; None: each output goes beside its source."""

    def make_folders(self) -> None:
        """Make the folders of the outputs. Raises OutputError where that fails."""
        if self.folder is None:
            return
        folders = [self.folder, *(film.output.parent for film in self.films)]
        for folder in dict.fromkeys(folders):
            try:
                folder.mkdir(exist_ok=True, parents=folder != self.folder)
            except OSError as error:
                raise OutputError(
                    f"{folder}, for the outputs, cannot be made: {error.strerror or error}"
                ) from error


def batch_of(source: Path, output: Path | None, config: UpscaleConfig) -> Batch | None:
    """Return the films of a folder of videos or a list (.txt); None if `source` is one film.

    A folder of pictures is one film; pictures beside videos are left out, as the log says, and so
    are videos that vsr has made. The outputs go into the folder `output`; without one, those of a
    list go beside their sources and those of a folder into one beside it. With `config.recursive`
    subfolders are searched too, and the outputs lie in subfolders of the same names.

    Raises InputError for a folder with nothing but outputs of vsr and for a list that names
    nothing, OutputError where two films would have one output.
    """
    if source.is_dir():
        done = "restored" if config.model == NO_MODEL else "upscaled"
        output = output or named(source).with_name(f"{named(source).name}_{done}")
        sources = _folder_films(source, config, output)
        if not sources:
            return None
    elif source.suffix.lower() == LIST_SUFFIX and source.is_file():
        sources = listed_films(source)
    else:
        return None
    _check_one_film(config)
    if output is not None:
        _check_folder(source, output)
    scale = native_scale(config.model)
    films = [BatchFilm(path, _output_of(path, config, scale)) for path in sources]
    if output is not None:
        films = [
            BatchFilm(film.source, output / _subfolder(film.source, source) / film.output.name)
            for film in films
        ]
    _check_names(films)
    return Batch(output or source, tuple(films), output)


def _check_one_film(config: UpscaleConfig) -> None:
    """Raise ConfigError for pictures of single frames, which are of one film."""
    for option in ("colour_references", "masks"):
        if getattr(config, option) is not None:
            name = option.replace("_", "-")
            raise ConfigError(f"--{name} is of the frames of one film: give the films one by one")


def _folder_films(folder: Path, config: UpscaleConfig, output: Path) -> list[Path]:
    """Return the videos of a folder in natural order; none for a folder of pictures."""
    try:
        files = list(_files(folder, output if config.recursive else None))
        below = [] if config.recursive else _subfolders_with_videos(folder, output)
    except OSError as error:
        raise InputError(str(explained_os_error(error))) from error
    kinds = {path: path.suffix.lower() for path in files}
    videos = [path for path in files if kinds[path] in VIDEO_SUFFIXES]
    pictures = [path for path in files if kinds[path] in IMAGE_SUFFIXES]
    if not videos and not pictures and below:
        raise InputError(
            f"{folder} holds no video itself, but {_names(below)} does: give --recursive to "
            "upscale the videos of its subfolders"
        )
    if not videos and not below:
        return []
    others = sorted(set(files) - set(videos) - set(pictures))
    _note_skipped(folder, others if videos else [], pictures if videos else [], below)
    return _without_own_outputs(folder, videos) if videos else []


def _note_skipped(
    folder: Path, others: Sequence[Path], pictures: Sequence[Path], below: Sequence[Path]
) -> None:
    """Say in the log which entries of a folder of videos are left out."""
    for other in others:
        _log.info("%s is skipped: not a video", other)
    if pictures:
        _log.info(
            "pictures beside the videos are skipped (%s): to upscale pictures as one film, put "
            "them into a folder of their own",
            _names(pictures),
        )
    if below:
        _log.info(
            "videos in subfolders of %s are skipped (%s): give --recursive to upscale them too",
            *(folder, _names(below)),
        )


def _without_own_outputs(folder: Path, videos: Sequence[Path]) -> list[Path]:
    own = [
        path
        for path in videos
        if path.suffix.lower() in (*CONTAINER_SUFFIXES, ".apng", ".gif") and is_made_by_vsr(path)
    ]
    for path in own:
        _log.info("%s is skipped: vsr has made it; name it itself to upscale it again", path)
    if len(own) == len(videos):
        raise InputError(
            f"all videos of {folder} are outputs of vsr ({_names(own)}): name one itself, or all "
            "in a list (.txt), to upscale them again"
        )
    return [path for path in videos if path not in own]


def _files(folder: Path, recursive_but: Path | None) -> Iterator[Path]:
    """Yield the files of a folder in natural order; those of subfolders but one, if that is given.

    Hidden entries and the folders in which vsr keeps finished work are left out.
    """
    entries = [path for path in folder.iterdir() if path.name[0] != "."]
    entries.sort(key=natural_key)
    yield from (path for path in entries if path.is_file())
    if recursive_but is None:
        return
    for path in entries:
        if path.is_dir() and not path.is_symlink() and not _is_own(path, recursive_but):
            yield from _files(path, recursive_but)


def _is_own(folder: Path, output: Path) -> bool:
    return is_work_folder(folder) or (output.exists() and folder.samefile(output))


def _subfolders_with_videos(folder: Path, output: Path) -> list[Path]:
    """Return the subfolders that hold videos themselves, without those of outputs."""
    folders = [path for path in folder.iterdir() if path.name[0] != "." and path.is_dir()]
    return [
        path
        for path in sorted(folders, key=natural_key)
        if os.access(path, os.R_OK | os.X_OK)
        and not _is_own(path, output)
        and any(entry.suffix.lower() in VIDEO_SUFFIXES for entry in path.iterdir())
    ]


def _names(paths: Sequence[Path]) -> str:
    names = [path.name for path in paths[:_NAMED_AT_MOST]]
    more = len(paths) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _subfolder(path: Path, source: Path) -> Path:
    return path.parent.relative_to(source) if source.is_dir() else Path()


def _output_of(source: Path, config: UpscaleConfig, scale: int) -> Path:
    """Return the output beside a film; one that cannot be read fails when its turn comes."""
    try:
        return default_output(source, config, native=scale)
    except (InputError, OSError, ValueError):
        return source.with_name(f"{source.stem}_x{scale}{source.suffix}")


def _check_folder(source: Path, folder: Path) -> None:
    """Raise OutputError for a folder that cannot take the outputs."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; the outputs of a batch go into a folder")
    if not folder.parent.is_dir():
        raise OutputError(f"the folder {folder.parent} does not exist; make it first")
    if source.is_dir() and folder.resolve() == source.resolve():
        raise OutputError(f"{folder} has the sources in it; give another folder for the outputs")


def _check_names(films: Sequence[BatchFilm]) -> None:
    by_output: dict[Path, Path] = {}
    for film in films:
        other = by_output.setdefault(film.output, film.source)
        if other != film.source:
            raise OutputError(
                f"{other} and {film.source} would both become {film.output}; rename one of them, "
                'or give --name with the ending, as "{stem}_{ending}_x4"'
            )
