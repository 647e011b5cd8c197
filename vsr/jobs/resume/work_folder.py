"""`OUT.vsr`: the folder beside an output that keeps its finished work until it is complete."""

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vsr.errors import OutputError
from vsr.jobs.resume.journal import Journal, PartFact, StoredFile, read_lines, write_error
from vsr.jobs.resume.own_files import (
    JOINED,
    delete_entry,
    delete_work,
    removed_path,
    require_own,
    work_places,
)
from vsr.jobs.resume.run_folder import RunFolder
from vsr.jobs.resume.shot_store import (
    WHOLE_SHOT,
    ShotProgress,
    ShotWork,
    Stretch,
    read_progress,
)
from vsr.video.suffixes import ending
from vsr.video.writing.encoding import Encoding
from vsr.video.writing.film_grain import FilmGrain

_SHOTS, _SPANS, _GRAIN = "shots.json", "spans.jsonl", "grain.jsonl"
_JOURNAL = re.compile(r"(\d{8})(?:-(\d{8}))?\.jsonl")
_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class ShotList:
    """The shots of a source that was read to its end: first frames, frame count, and damage."""

    shots: tuple[int, ...]
    frames: int
    damage: str | None

    def __post_init__(self) -> None:
        if not _are_ints((*self.shots, self.frames)):
            raise ValueError("the frames of a list of shots are not all numbers")


@dataclass(frozen=True, slots=True)
class Span:
    """The frames `first` to `end` (exclusive), counted as the source is read.

    They lie between two cuts, and are one shot, or several where its black bars or its detail
    change; or they are a stretch of one shot.
    """

    first: int
    end: int


class WorkFolder(RunFolder):
    """The finished work of one output."""

    def finished(self) -> str:
        """Return the number of finished frames in words; an empty string if there are none."""
        begins: dict[int, set[int]] = {}
        for path in self.path.glob("*.jsonl"):
            if found := _JOURNAL.fullmatch(path.name):
                shot, begin = found.groups(default="0")
                begins.setdefault(int(shot), {0}).add(int(begin))
        frames = sum(self._finished_frames(shot, sorted(begins[shot])) for shot in begins)
        return f"{frames} frames" if frames else ""

    def _finished_frames(self, shot: int, begins: list[int]) -> int:
        """Return the finished frames of a shot, of which stretches begin at these frames."""
        stretches = map(Stretch, begins, [*begins[1:], None])
        found = [self.progress(shot, stretch) for stretch in stretches]
        return sum(progress.frames - progress.begin for progress in found)

    def open_shot(
        self, first: int, encoding: Encoding | None, stretch: Stretch = WHOLE_SHOT
    ) -> ShotWork | None:
        """Return a stretch of the shot that begins at frame `first`, to be continued.

        None if it is finished.
        """
        if self.progress(first, stretch).ended:
            return None
        folder = self.shot_folder(first)
        journal = self.journal(first, stretch.begin)
        journals = self._journals(first, stretch)
        progress = read_progress(folder, journals, StoredFile.is_whole, stretch)
        return ShotWork(folder, journal, progress, encoding, stretch=stretch)

    def shot_folder(self, first: int) -> Path:
        """Return the folder of the shot that begins at frame `first`, which is made."""
        folder = self._shot(first)
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise write_error(folder, error) from error
        return folder

    def journal(self, first: int, begin: int) -> Journal:
        """Return the journal of the stretch of a shot that begins at frame `begin` of it."""
        return Journal(self._journal(first, begin), self.check_in_place)

    def whole_frames(self, first: int) -> int | None:
        """Return how many frames of a shot are finished, by whole files; None: all of them."""
        if self.progress(first).ended:
            return None
        return read_progress(self._shot(first), self._journals(first), StoredFile.is_whole).frames

    def progress(self, first: int, stretch: Stretch = WHOLE_SHOT) -> ShotProgress:
        """Return the finished work of the shot that begins at frame `first`."""
        folder, journals = self._shot(first), self._journals(first, stretch)
        return read_progress(folder, journals, StoredFile.is_there, stretch)

    def parts(self, shots: ShotList) -> Iterator[tuple[Path, PartFact]]:
        """Yield the parts of finished shots, with the folders in which they are."""
        return ((self._shot(s), part) for s in shots.shots for part in self.progress(s).parts)

    def delete_damaged(self, shots: ShotList) -> OutputError:
        """Delete the damaged parts, and return the error that says so."""
        paths = [
            folder / fact.part.name
            for folder, fact in self.parts(shots)
            if not fact.part.is_whole(folder)
        ]
        for path in paths:
            path.unlink(missing_ok=True)
        return OutputError(
            f"{len(paths)} parts in {self.path} are damaged and were deleted: run the same command "
            "again to make them again"
        )

    @property
    def shots(self) -> ShotList | None:
        """The shots that were found when the whole source was read, if it was."""
        found = self.read(_SHOTS)
        if found is None:
            return None
        try:
            return ShotList(tuple(found["shots"]), found["frames"], found["damage"])
        except (LookupError, TypeError, ValueError):  # of another program: found anew
            return None

    @shots.setter
    def shots(self, shots: ShotList) -> None:
        if self.ranks.rank == 0:
            self.check_in_place()
            self.write(_SHOTS, asdict(shots))

    def finished_shots(self) -> ShotList | None:
        """Return all shots of the film if this rank's are finished; else None."""
        shots = self.shots
        if shots is None or any(self._is_unfinished(*shot) for shot in enumerate(shots.shots)):
            return None
        return shots

    def _is_unfinished(self, number: int, first: int) -> bool:
        return self.ranks.takes(number) and not self.progress(first).ended

    def note_span(self, span: Span, shots: tuple[int, ...]) -> None:
        """Note that the shots of a span, by their first frames, are finished."""
        self.append(_SPANS, {**asdict(span), "shots": shots})

    def finished_spans(self) -> dict[Span, tuple[int, ...]]:
        """Return the shots of the spans that are finished, as far as they were noted."""
        noted = filter(None, map(_noted_span, read_lines(self.path / _SPANS)))
        return {
            span: shots for span, shots in noted if all(self.progress(shot).ended for shot in shots)
        }

    def note_grain(self, pts: int, grain: FilmGrain | None) -> None:
        """Note the grain that the player adds from a frame on."""
        self.append(_GRAIN, {"pts": pts, "grain": None if grain is None else asdict(grain)})

    def noted_grain(self) -> list[tuple[int, FilmGrain | None]]:
        """Return the grain that was noted, by the pts of frames from which on it holds."""
        noted = {line["pts"]: line["grain"] for line in read_lines(self.path / _GRAIN)}
        return [(pts, _film_grain(grain)) for pts, grain in sorted(noted.items())]

    def wait_for_shots(self, shots: ShotList) -> None:
        """Wait until the other ranks have finished their shots; OutputError if one has ended."""
        for number, first in enumerate(shots.shots):
            while not self.progress(first).ended:
                self.check_rank(self.ranks.owner(number), f"its shot at frame {first} was finished")
                time.sleep(_POLL_SECONDS)

    def wait_for_output(self) -> None:
        """Wait until rank 0 has joined the output; OutputError if it has ended before."""
        while not self.is_gone:
            self.check_rank(0, f"{self._output} was joined")
            time.sleep(_POLL_SECONDS)

    def partial(self) -> Path:
        """Return a name in the folder for the output while it is joined."""
        for path in self.path.glob("partial*"):
            delete_entry(path)
        return self.path / f"partial{ending(self._output)}"

    def note_joined(self, partial: Path) -> None:
        """Note that the file `partial` is whole, and gets the output's name next."""
        self.check_in_place()
        self.write(JOINED, _facts(partial))

    @property
    def is_joined(self) -> bool:
        """Return whether the output is whole, and a crash has left only what is to be removed."""
        places = work_places(self._output)
        return self.is_gone or any(_is_joined(folder, self._output) for folder in places)

    def remove(self) -> None:
        """Remove the folder; a proof that an earlier run left at the other name goes last."""
        if not self.is_gone and _is_joined(removed_path(self._output), self._output):
            self.write(JOINED, _facts(self._output))
        super().remove()

    def _shot(self, first: int) -> Path:
        return self.path / f"{first:08d}"

    def _journal(self, first: int, begin: int = 0) -> Path:
        return self.path / f"{first:08d}{f'-{begin:08d}' if begin else ''}.jsonl"

    def _journals(self, first: int, stretch: Stretch = WHOLE_SHOT) -> list[Path]:
        """Return the journals with facts about a stretch of a shot; some may be missing.

        A run that is alone writes about all of a shot in the first one.
        """
        if stretch == WHOLE_SHOT:
            return [self._journal(first), *sorted(self.path.glob(f"{first:08d}-*.jsonl"))]
        return [self._journal(first), self._journal(first, stretch.begin)]


def is_joined(output: Path) -> bool:
    """Return whether the output is whole, and a crash has left only its work folder.

    A folder that was being removed, and has lost the proof of that, is removed to its end.
    """
    for folder in work_places(output):
        require_own(folder)
        if _is_joined(folder, output):
            return True
    delete_work(removed_path(output))
    return False


def clean_up(output: Path) -> None:
    """Delete the work folder that a crash has left of an output that is whole."""
    for folder in work_places(output):
        delete_work(folder)


def _noted_span(line: dict[str, Any]) -> tuple[Span, tuple[int, ...]] | None:
    """Return a span and its shots; None for a line of another program, which is found anew."""
    match line:
        case {"first": int(first), "end": int(end), "shots": [*shots]} if _are_ints(shots):
            return Span(first, end), tuple(shots)
        case _:
            return None


def _are_ints(values: Iterable[Any]) -> bool:
    return all(type(value) is int for value in values)


def _is_joined(folder: Path, output: Path) -> bool:
    joined = next(read_lines(folder / JOINED), None)
    return bool(joined) and output.exists() and joined.items() <= _facts(output).items()


def _facts(path: Path) -> dict[str, int]:
    """Return what a file keeps when it is renamed; a number alone may be used again."""
    stat = path.stat()
    return {"file": stat.st_ino, "size": stat.st_size, "modified": stat.st_mtime_ns}


def _film_grain(noted: dict[str, Any] | None) -> FilmGrain | None:
    """Return the grain of a noted line, whose tuples were written as lists."""
    if noted is None:
        return None
    luma, blue, red = (tuple((code, share) for code, share in row) for row in noted["points"])
    first, second, third = map(tuple, noted["coefficients"])
    shifts = (noted[name] for name in ("ar_shift", "grain_scale_shift", "scaling_shift"))
    return FilmGrain((luma, blue, red), (first, second, third), *shifts)
