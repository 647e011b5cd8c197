"""One shot on the disk: its clips as they are finished, its parts as they are closed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vsr.jobs.resume.journal import (
    ClipFact,
    EndFact,
    Fact,
    Journal,
    PartFact,
    StoredFile,
    durable_file,
    read_facts,
    write_durably,
)
from vsr.video.writing.encoding import Encoding
from vsr.video.writing.parts import PART_FRAMES, PartEncoder, part_encoder

_PART_BYTES = 1 << 30
"""A part of so many bytes of pixels is closed: until then they wait on the disk."""

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Progress:
    """What is finished of a shot: closed parts, clips that are in none yet, and what comes next."""

    parts: tuple[PartFact, ...] = ()
    clips: tuple[ClipFact, ...] = ()
    state: StoredFile | None = None
    ended: bool = False

    @property
    def part_frames(self) -> int:
        """Frames in closed parts: from the shot's first on."""
        return sum(part.frames for part in self.parts)

    @property
    def frames(self) -> int:
        """Finished frames: from the shot's first on."""
        return self.part_frames + sum(clip.frames for clip in self.clips)

    @classmethod
    def of(cls, facts: Iterable[Fact]) -> "Progress":
        """The most that the facts prove."""
        facts = list(facts)
        parts = _chain([fact for fact in facts if isinstance(fact, PartFact)], 0)
        if _end(parts) in [fact.frames for fact in facts if isinstance(fact, EndFact)]:
            return cls(parts=parts, ended=True)
        clips = [fact for fact in facts if isinstance(fact, ClipFact)]
        for last in sorted(clips, key=_place, reverse=True):
            before = tuple(part for part in parts if _place(part) <= _place(last))
            held = [clip for clip in clips if clip.pixels and _place(clip) <= _place(last)]
            open_clips = _chain(held, _end(before))
            if last.state and _end(open_clips, _end(before)) == _place(last):
                return cls(before, open_clips, last.state)
        return cls()


def read_progress(
    folder: Path, journals: Iterable[Path], is_there: Callable[[StoredFile, Path], bool]
) -> Progress:
    """What is finished of the shot in `folder`, by those of its files that `is_there` finds so."""

    def there(file: StoredFile | None) -> StoredFile | None:
        return file if file is not None and is_there(file, folder) else None

    facts: list[Fact] = []
    for fact in read_facts(journals):
        if isinstance(fact, ClipFact):
            facts.append(replace(fact, pixels=there(fact.pixels), state=there(fact.state)))
        elif isinstance(fact, EndFact) or there(fact.part):
            facts.append(fact)
    return Progress.of(facts)


class ShotWork:
    """The rest of a shot being made by this process: clips go in, what is finished is on the disk.

    Codecs whose frames refer to others get parts of many clips, since a keyframe at each would cost
    bytes; until a part is closed its pixels wait on the disk, for who must encode it anew. All of a
    shot is written in one thread.
    """

    def __init__(
        self, folder: Path, journal: Journal, progress: Progress, encoding: Encoding | None
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._encoding = encoding
        self._holds = encoding is not None and not encoding.is_intra
        self._begin = progress.part_frames
        self._clips = list(progress.clips)
        self._encoder: PartEncoder | None = None
        self._bytes = 0
        self._last_state = self._resumes_from = progress.state
        self.frames = progress.frames

    def take_carried(self) -> bytes | None:
        """What the next clip begins with, once, where another run made the one before it."""
        state, self._resumes_from = self._resumes_from, None
        return None if state is None else (self._folder / state.name).read_bytes()

    def add(self, pixels: Pixels, pts: Sequence[int], state: bytes) -> None:
        """Keep a finished clip, and the state with which the next one begins."""
        place = f"{self.frames:08d}"
        stored_state = write_durably(self._folder / f"{place}.state", state)
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
        elif self.frames - self._begin >= PART_FRAMES or self._bytes >= _PART_BYTES:
            self._close_part()
        self._keep_state(stored_state)

    def end(self) -> None:
        """There are no more frames: close what is open."""
        if self._clips:
            self._open_encoder()
            self._close_part()
        self._journal.append(EndFact(self.frames))
        self._keep_state(None)

    def _open_encoder(self) -> PartEncoder:
        """The encoder of the open part, with all clips in it that were finished before."""
        if self._encoder is None:
            self._encoder = part_encoder(self._encoding)
            for clip in self._clips:
                assert clip.pixels is not None
                with (self._folder / clip.pixels.name).open("rb") as file:
                    pixels, pts = np.load(file), np.load(file)
                _encode(self._encoder, pixels, pts.tolist())
                self._bytes += pixels.nbytes
        return self._encoder

    def _close_part(self, *with_facts: ClipFact) -> None:
        assert self._encoder is not None
        part = self._encoder.finish()
        stored = write_durably(self._folder / f"{self._begin:08d}.part", part.to_bytes())
        fact = PartFact(self._begin, self.frames - self._begin, part.delay, stored)
        self._journal.append(fact, *with_facts)
        for clip in self._clips:
            if clip.pixels is not None:
                (self._folder / clip.pixels.name).unlink(missing_ok=True)
        self._begin, self._clips, self._encoder, self._bytes = self.frames, [], None, 0

    def _store(self, name: str, pixels: Pixels, pts: Sequence[int]) -> StoredFile:
        with durable_file(self._folder / name) as file:
            np.save(file, pixels)  # pyright: ignore[reportCallIssue]
            np.save(file, np.array(pts, np.int64))
        return file.stored(name)

    def _keep_state(self, newest: StoredFile | None) -> None:
        """Remove the state of before, now that the journal names a newer one."""
        if self._last_state is not None:
            (self._folder / self._last_state.name).unlink(missing_ok=True)
        self._last_state = newest


def _encode(encoder: PartEncoder, pixels: Pixels, pts: Sequence[int]) -> None:
    for picture, time in zip(pixels, pts, strict=True):
        encoder.write(picture, time)


_Span = TypeVar("_Span", ClipFact, PartFact)


def _place(span: ClipFact | PartFact) -> int:
    """The frame after the last one."""
    return span.first + span.frames


def _chain(spans: Iterable[_Span], begin: int) -> tuple[_Span, ...]:
    """Those that follow one another without a gap, from frame `begin` on."""
    by_first = {span.first: span for span in spans}
    chain: list[_Span] = []
    while begin in by_first:
        chain.append(by_first[begin])
        begin = _place(chain[-1])
    return tuple(chain)


def _end(chain: Sequence[ClipFact | PartFact], begin: int = 0) -> int:
    return _place(chain[-1]) if chain else begin
