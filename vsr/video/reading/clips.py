"""Frames gathered into clips: the bounded runs of one shot that are in memory at once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

from vsr.errors import ConfigError
from vsr.video.reading.reader import Frame
from vsr.video.reading.repeats import repeats, sharing
from vsr.video.reading.shot_traits import (
    NO_ANALYSIS,
    UNKNOWN,
    MarkedFrame,
    ShotAnalysis,
    ShotTraits,
    TraitMarker,
)
from vsr.video.reading.shots import ShotDetector

_SHORTEST_REST = 3
"""A rest of fewer frames at the end of a shot is avoided where the length allows it."""
_MOST_SHOWN = 4
"""A clip has at most so many times more frames than pictures may be in memory, since its large
frames are written one by one, each."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Consecutive frames of one shot; `starts_shot` is False where it goes on from the clip before.

    `first_frame_index` counts from the first frame that was given to `clips`. `ahead` are the next
    frames of the shot, which a model may look at; they come again in the next clip. Frames with
    equal pictures one after another share their pixels if they were compared: see `pictures`.
    """

    frames: tuple[Frame, ...]
    first_frame_index: int
    starts_shot: bool
    ahead: tuple[Frame, ...] = ()
    traits: ShotTraits = UNKNOWN
    repeats_last: bool = False
    """True if the first frame repeats the last one of the clip before."""
    is_repeated: bool = False
    """True if the first frame of the next clip repeats the last one."""

    @property
    def pictures(self) -> tuple[int, ...]:
        """The places of the frames that do not repeat the one before."""
        return tuple(place for place, is_new in enumerate(self._are_new) if is_new)

    @property
    def shown(self) -> tuple[int, ...]:
        """The number of the picture that each frame shows, among `pictures`.

        It is -1 for the picture of the clip before.
        """
        return tuple(accumulate(self._are_new, initial=-1))[1:]

    @property
    def coming(self) -> tuple[Frame, ...]:
        """The frames of `ahead` that do not repeat the one before."""
        pairs = pairwise((self.frames[-1], *self.ahead))
        return tuple(frame for before, frame in pairs if not repeats(frame, before))

    @property
    def _are_new(self) -> tuple[bool, ...]:
        """True for each frame that does not repeat the one before."""
        later = (not repeats(frame, before) for before, frame in pairwise(self.frames))
        return (not self.repeats_last, *later)


class ClipGatherer:
    """Takes frames one by one and gives clips of at most `max_frames`, none across a cut.

    It holds one clip and a few frames more; at the beginning of a shot, those in which its traits
    are found. A shot that would leave one or two frames over ends with two clips of about equal
    length instead. Frames are counted from `first_frame`. A clip comes with up to `look_ahead` of
    the frames after it. With `share_repeats`, frames that repeat the one before share its pixels,
    and all these lengths count the other frames alone. Raises ConfigError for clips of no frames.
    """

    def __init__(
        self,
        max_frames: int,
        first_frame: int = 0,
        *,
        look_ahead: int = 0,
        analysis: ShotAnalysis = NO_ANALYSIS,
        share_repeats: bool = False,
    ) -> None:
        if max_frames < 1:
            raise ConfigError(f"{max_frames = } is out of range; a clip has at least 1 frame")
        self._max_frames = max_frames
        self._share_repeats = share_repeats
        self._most_shown = _MOST_SHOWN if share_repeats else 1
        self._look_ahead = look_ahead
        self._shortest_rest = min(_SHORTEST_REST, max_frames)
        self._spare = max(self._shortest_rest, look_ahead)
        self._marker = TraitMarker(analysis)
        self._buffer: list[Frame] = []
        self._pictures = 0
        self._last: Frame | None = None
        self._index = first_frame
        self._starts_shot = True
        self._traits = UNKNOWN

    def push(self, frame: Frame, *, starts_shot: bool) -> list[Clip]:
        """Add a frame and return the clips that are whole by now."""
        ready = self.flush() if starts_shot else []
        return ready + self._gathered(self._marker.push(frame, starts_shot=starts_shot))

    def flush(self) -> list[Clip]:
        """Return what is left of the shot; the next frame starts another."""
        return self._gathered(self._marker.flush()) + self._end_shot()

    def _gathered(self, frames: Iterable[MarkedFrame]) -> list[Clip]:
        ready: list[Clip] = []
        for marked in frames:
            if marked.starts_shot:
                ready += self._end_shot()
            self._traits = marked.traits
            self._add(marked.frame)
            most = self._max_frames + self._spare
            if self._pictures == most or len(self._buffer) == self._most_shown * most:
                ready.append(self._take(self._max_frames))
        return ready

    def _add(self, frame: Frame) -> None:
        before = self._buffer[-1] if self._buffer else self._last
        if self._share_repeats and before is not None:
            frame = sharing(frame, before)
        self._pictures += not repeats(frame, before)
        self._buffer.append(frame)

    def _end_shot(self) -> list[Clip]:
        rest: list[Clip] = []
        while self._buffer:
            rest.append(self._take(self._next_length()))
        self._starts_shot = True
        self._last = None
        return rest

    def _next_length(self) -> int:
        """Return the pictures of the next clip at a shot's end: half of what would leave a rest."""
        remaining, longest = self._pictures, self._max_frames
        if remaining <= longest:
            return remaining
        return longest if remaining - longest >= self._shortest_rest else remaining // 2

    def _take(self, pictures: int) -> Clip:
        count = min(self._length(0, pictures), self._most_shown * self._max_frames)
        frames, rest = tuple(self._buffer[:count]), self._buffer[count:]
        clip = Clip(
            frames,
            self._index,
            self._starts_shot,
            ahead=tuple(rest[: self._length(count, self._look_ahead)]) if self._look_ahead else (),
            traits=self._traits,
            repeats_last=repeats(frames[0], self._last),
            is_repeated=bool(rest) and repeats(rest[0], frames[-1]),
        )
        self._pictures -= len(clip.pictures)
        self._buffer, self._last = rest, frames[-1]
        self._index += count
        self._starts_shot = False
        return clip

    def _length(self, start: int, pictures: int) -> int:
        """Return how many frames of the buffer, from `start` on, show so many more pictures."""
        before = self._buffer[start - 1] if start else self._last
        for place, frame in enumerate(self._buffer[start:]):
            if not repeats(frame, before):
                if pictures == 0:
                    return place
                pictures -= 1
            before = frame
        return len(self._buffer) - start


def clips(
    frames: Iterable[Frame],
    *,
    max_frames: int,
    detector: ShotDetector | None,
    look_ahead: int = 0,
    analysis: ShotAnalysis = NO_ANALYSIS,
    share_repeats: bool = False,
) -> Iterator[Clip]:
    """The frames in order as clips of at most `max_frames`, as `ClipGatherer` makes them.

    Lazy. Without a detector all is one shot. `analysis`: the traits that are found of each shot.
    """
    return gathered(
        _marked(frames, detector),
        max_frames=max_frames,
        look_ahead=look_ahead,
        analysis=analysis,
        share_repeats=share_repeats,
    )


def gathered(
    marked: Iterable[tuple[Frame, bool]],
    *,
    max_frames: int,
    look_ahead: int = 0,
    analysis: ShotAnalysis = NO_ANALYSIS,
    share_repeats: bool = False,
) -> Iterator[Clip]:
    """The frames, marked where a shot starts, as clips of at most `max_frames`. Lazy."""
    gatherer = ClipGatherer(
        max_frames, look_ahead=look_ahead, analysis=analysis, share_repeats=share_repeats
    )
    for frame, is_first in marked:
        yield from gatherer.push(frame, starts_shot=is_first)
    yield from gatherer.flush()


def _marked(frames: Iterable[Frame], detector: ShotDetector | None) -> Iterator[tuple[Frame, bool]]:
    if detector is not None:
        return detector.mark_cuts(frames)
    return ((frame, number == 0) for number, frame in enumerate(frames))
