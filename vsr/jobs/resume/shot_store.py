"""One shot on the disk: its finished clips and its closed parts."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np

from vsr.jobs.resume.journal import (
    ClipFact,
    EndFact,
    Fact,
    Journal,
    PartFact,
    StoredFile,
    damage_error,
    read_facts,
    store_bytes,
    stored_file,
)
from vsr.video.pixels import Pixels
from vsr.video.writing.encoding import Encoding
from vsr.video.writing.parts import PART_FRAMES, PartEncoder, part_encoder

_PART_BYTES = 1 << 30
"""A part is closed at this many bytes of raw pixels, which stay on the disk until then."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The frames of a shot from `begin` to `end` (exclusive), counted in the shot.

    They are whole parts, which a worker makes without those before. Without an end it is all that
    follows.
    """

    begin: int = 0
    end: int | None = None

    def holds(self, fact: Fact) -> bool:
        """Return whether a fact is about these frames."""
        if isinstance(fact, EndFact):
            return self.end is None
        return self.begin <= fact.first and (self.end is None or _place(fact) <= self.end)


WHOLE_SHOT = Stretch()


@dataclass(frozen=True, slots=True)
class ShotProgress:
    """The finished work of a shot, or of a stretch that begins at frame `begin` of it.

    It is closed parts, clips after them, and the state for the next.
    """

    parts: tuple[PartFact, ...] = ()
    clips: tuple[ClipFact, ...] = ()
    state: StoredFile | None = None
    ended: bool = False
    begin: int = 0

    @property
    def part_frames(self) -> int:
        """Number of frames in closed parts, and before the stretch."""
        return self.begin + sum(part.frames for part in self.parts)

    @property
    def frames(self) -> int:
        """Number of finished frames, and of those before the stretch."""
        return self.part_frames + sum(clip.frames for clip in self.clips)

    @classmethod
    def of(cls, facts: Iterable[Fact], stretch: Stretch = WHOLE_SHOT) -> "ShotProgress":
        """Return the most that the facts prove."""
        facts, begin = list(filter(stretch.holds, facts)), stretch.begin
        parts = _chain([fact for fact in facts if isinstance(fact, PartFact)], begin)
        ends = [fact.frames for fact in facts if isinstance(fact, EndFact)]
        if _end(parts, begin) in (*ends, stretch.end):
            return cls(parts=parts, ended=True, begin=begin)
        clips = [fact for fact in facts if isinstance(fact, ClipFact)]
        for last in sorted(clips, key=_place, reverse=True):
            before = tuple(part for part in parts if _place(part) <= _place(last))
            held = [clip for clip in clips if clip.pixels and _place(clip) <= _place(last)]
            end = _end(before, begin)
            open_clips = _chain(held, end)
            if last.state and _end(open_clips, end) == _place(last):
                return cls(before, open_clips, last.state, begin=begin)
        return cls(begin=begin)


def read_progress(
    folder: Path,
    journals: Iterable[Path],
    is_there: Callable[[StoredFile, Path], bool],
    stretch: Stretch = WHOLE_SHOT,
) -> ShotProgress:
    """Return the finished work of the shot in `folder`, by those of its files that pass a test."""

    def there(file: StoredFile | None) -> StoredFile | None:
        return file if file is not None and is_there(file, folder) else None

    facts: list[Fact] = []
    for fact in filter(stretch.holds, chain.from_iterable(map(read_facts, journals))):
        if isinstance(fact, ClipFact):
            facts.append(replace(fact, pixels=there(fact.pixels), state=there(fact.state)))
        elif isinstance(fact, EndFact) or there(fact.part):
            facts.append(fact)
    return ShotProgress.of(facts, stretch)


class ShotWork:
    """Stores the finished clips of a shot, and continues where an earlier run stopped.

    Codecs whose frames refer to others get parts of many clips, since a keyframe at each would cost
    bytes. Until a part is closed, its raw pixels stay on the disk, so that a resumed run can encode
    them again. All of a shot is written in one thread. Of a shot that workers share each has a
    stretch, with a journal of its own.
    """

    def __init__(
        self,
        folder: Path,
        journal: Journal,
        progress: ShotProgress,
        encoding: Encoding | None,
        *,
        stretch: Stretch = WHOLE_SHOT,
    ) -> None:
        self._folder = folder
        self._stretch = stretch
        self._journal = journal
        self._encoding = encoding
        self._holds = holds_clips(encoding)
        self._begin = progress.part_frames
        self._clips = list(progress.clips)
        self._encoder: PartEncoder | None = None
        self._bytes = 0
        self._last_state = self._resumes_from = progress.state
        self.frames = progress.frames

    @property
    def done(self) -> int:
        """Number of its frames that are finished."""
        return self.frames - self._stretch.begin

    def take_carried(self) -> bytes | None:
        """Return, once, the state that the last clip of an earlier run left; else None."""
        state, self._resumes_from = self._resumes_from, None
        return None if state is None else (self._folder / state.name).read_bytes()

    def add(self, pixels: Pixels, pts: Sequence[int], state: bytes) -> None:
        """Store a finished clip, and the state with which the next one begins."""
        self._close_due_part()
        place = f"{self.frames:08d}"
        stored_state = store_bytes(self._folder / f"{place}.state", state)
        if self._holds:
            stored = self._store(f"{place}.pixels", pixels, pts)
            fact = ClipFact(self.frames, len(pts), stored_state, stored)
            self._journal.append(fact)
        else:
            fact = ClipFact(self.frames, len(pts), stored_state)
        encoder = self._open_encoder()
        _encode(encoder, pixels, pts)
        self._bytes += pixels.nbytes
        self._clips.append(fact)
        self.frames += len(pts)
        if not self._holds:
            self._close_part(fact)
        elif self._is_due():
            self._close_part()
        self._keep_state(stored_state)

    def end(self) -> None:
        """Close the open part: the shot, or the stretch, has no more frames."""
        if self._stretch.end is not None:
            self._close_due_part()
            assert self.frames == self._stretch.end and not self._clips, "it ends with a whole part"
            return
        if self._clips:
            self._open_encoder()
            self._close_part()
        self._journal.append(EndFact(self.frames))
        self._keep_state(None)

    def _close_due_part(self) -> None:
        """Close a part that a crash kept an earlier run from closing, so that no keyframe moves."""
        if self._clips and self._encoder is None:
            self._open_encoder()
            if self._is_due():
                self._close_part()

    def _is_due(self) -> bool:
        return is_whole_part(self.frames - self._begin, self._bytes)

    def _open_encoder(self) -> PartEncoder:
        """Return the encoder of the open part, given the finished clips of an earlier run."""
        if self._encoder is None:
            self._encoder = part_encoder(self._encoding)
            for clip in self._clips:
                assert clip.pixels is not None
                self._bytes += self._encode_again(self._folder / clip.pixels.name)
        return self._encoder

    def _encode_again(self, path: Path) -> int:
        """Encode the raw pixels of a clip, and return the number of their bytes."""
        assert self._encoder is not None
        try:
            with path.open("rb") as file:
                pixels, pts = np.load(file), np.load(file)
            _encode(self._encoder, pixels, pts.tolist())
        except (ValueError, TypeError, EOFError, IndexError) as error:
            raise damage_error(path) from error
        return pixels.nbytes

    def _close_part(self, *with_facts: ClipFact) -> None:
        assert self._encoder is not None
        part = self._encoder.finish()
        stored = store_bytes(self._folder / f"{self._begin:08d}.part", part.to_bytes())
        fact = PartFact(self._begin, self.frames - self._begin, part.delay, stored)
        self._journal.append(fact, *with_facts)
        for clip in self._clips:
            if clip.pixels is not None:
                (self._folder / clip.pixels.name).unlink(missing_ok=True)
        self._begin, self._clips, self._encoder, self._bytes = self.frames, [], None, 0

    def _store(self, name: str, pixels: Pixels, pts: Sequence[int]) -> StoredFile:
        with stored_file(self._folder / name) as file:
            np.save(file, pixels)  # pyright: ignore[reportCallIssue]
            np.save(file, np.array(pts, np.int64))
        return file.stored(name)

    def _keep_state(self, newest: StoredFile | None) -> None:
        """Remove the previous state, now that the journal names a newer one."""
        if self._last_state is not None:
            (self._folder / self._last_state.name).unlink(missing_ok=True)
        self._last_state = newest


def holds_clips(encoding: Encoding | None) -> bool:
    """Return whether a part has many clips, as where frames refer to others; else it has one."""
    return encoding is not None and not encoding.is_intra


def is_whole_part(frames: int, size: int) -> bool:
    """Return whether a part of many clips is closed, by its frames and bytes of raw pixels."""
    return frames >= PART_FRAMES or size >= _PART_BYTES


def _encode(encoder: PartEncoder, pixels: Pixels, pts: Sequence[int]) -> None:
    for picture, time in zip(pixels, pts, strict=True):
        encoder.write(picture, time)


_Span = TypeVar("_Span", ClipFact, PartFact)


def _place(span: ClipFact | PartFact) -> int:
    """Return the number of the frame after the last one."""
    return span.first + span.frames


def _chain(spans: Iterable[_Span], begin: int) -> tuple[_Span, ...]:
    """Return the spans that follow one another without a gap, from frame `begin` on."""
    by_first = {span.first: span for span in spans}
    found: list[_Span] = []
    while begin in by_first:
        found.append(by_first[begin])
        begin = _place(found[-1])
    return tuple(found)


def _end(spans: Sequence[ClipFact | PartFact], begin: int) -> int:
    return _place(spans[-1]) if spans else begin
