"""Pieces of shots: runs of clips that need nothing from the clips before them.

Where clips hand no state on, a shot is cut where a run of one process closes a part of encoded
frames and the next frame does not repeat the last: the bytes of the parts are then the same,
whichever worker makes them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from vsr.jobs.resume.shot_store import Stretch, is_whole_part
from vsr.jobs.resume.work_folder import Span
from vsr.upscaling.sizes import Size
from vsr.video.reading.clips import Clip
from vsr.video.reading.reader import Frame
from vsr.video.reading.repeats import sharing
from vsr.video.reading.shot_traits import ShotTraits

_LEAST_CLIPS = 4
"""Decoding, upscaling and encoding overlap within a piece, not from one to the next."""


@dataclass(frozen=True, slots=True)
class ClipShape:
    """A clip without its frames; see `Clip`."""

    frames: int
    traits: ShotTraits
    repeats_last: bool
    is_repeated: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """Clips of the shot that begins at frame `shot` of the source, and their stretch of it."""

    shot: int
    stretch: Stretch
    clips: tuple[ClipShape, ...]

    @property
    def first(self) -> int:
        """The number of its first frame in the source."""
        return self.shot + self.stretch.begin

    @property
    def frames(self) -> int:
        """Its number of frames."""
        return sum(clip.frames for clip in self.clips)

    @property
    def shots(self) -> tuple[int, ...]:
        """The first frames of the shots that begin in it."""
        return () if self.stretch.begin else (self.shot,)

    def span(self, skipped: int) -> Span:
        """Return its frames as they are counted from frame `skipped` of the source on."""
        return Span(self.first - skipped, self.first - skipped + self.frames)


def pieces(clips: Iterable[Clip], size: Size, *, holds: bool) -> Iterator[Piece]:
    """Yield the pieces of all shots of a film, in order.

    `size` is the output's; `holds` says that a part of encoded frames has many clips.
    """
    part = _OpenPart(size, holds=holds)
    shot = begin = 0
    shapes: list[ClipShape] = []
    for clip in clips:
        frames = sum(shape.frames for shape in shapes)
        if clip.starts_shot:
            if shapes:
                yield Piece(shot, Stretch(begin), tuple(shapes))
            shot, begin, shapes = clip.first_frame_index, 0, []
            part = _OpenPart(size, holds=holds)
        elif len(shapes) >= _LEAST_CLIPS and part.is_new and not clip.repeats_last:
            yield Piece(shot, Stretch(begin, begin + frames), tuple(shapes))
            begin, shapes = begin + frames, []
        part.add(clip)
        shapes.append(ClipShape(len(clip.frames), clip.traits, clip.repeats_last, clip.is_repeated))
    if shapes:
        yield Piece(shot, Stretch(begin), tuple(shapes))


def clips_of_piece(frames: Iterator[Frame], piece: Piece, *, share_repeats: bool) -> Iterator[Clip]:
    """Yield the clips of a piece from its frames; the first one is marked as if a shot began."""
    first, before = piece.first, None
    for number, shape in enumerate(piece.clips):
        taken: list[Frame] = []
        for frame in islice(frames, shape.frames):
            before = sharing(frame, before) if share_repeats and before is not None else frame
            taken.append(before)
        yield Clip(
            tuple(taken),
            first,
            starts_shot=number == 0,
            traits=shape.traits,
            repeats_last=shape.repeats_last,
            is_repeated=shape.is_repeated,
        )
        first += len(taken)


class _OpenPart:
    """The part of encoded frames that a run of one process has open; see `ShotWork`."""

    def __init__(self, size: Size, *, holds: bool) -> None:
        self._values = 3 * size.height * size.width
        self._holds = holds
        self._frames = self._bytes = 0

    @property
    def is_new(self) -> bool:
        """True if no frame is in it."""
        return not self._frames

    def add(self, clip: Clip) -> None:
        """Add a clip, which may close it."""
        self._frames += len(clip.frames)
        self._bytes += len(clip.frames) * self._values * clip.frames[0].pixels.itemsize
        if not self._holds or is_whole_part(self._frames, self._bytes):
            self._frames = self._bytes = 0
