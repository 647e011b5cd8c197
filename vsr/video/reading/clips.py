"""Frames gathered into clips: the bounded runs of one shot that are in memory at once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vsr.errors import ConfigError
from vsr.video.reading.reader import Frame
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


@dataclass(frozen=True, slots=True)
class Clip:
    """Consecutive frames of one shot; `starts_shot` is False where it goes on from the clip before.

    `first_frame_index` counts from the first frame that was given to `clips`. `ahead` are the next
    frames of the shot, which a model may look at; they come again in the next clip.
    """

    frames: tuple[Frame, ...]
    first_frame_index: int
    starts_shot: bool
    ahead: tuple[Frame, ...] = ()
    traits: ShotTraits = UNKNOWN


class ClipGatherer:
    """Takes frames one by one and gives clips of at most `max_frames`, none across a cut.

    It holds one clip and a few frames more; at the beginning of a shot, those in which its traits
    are found. A shot that would leave one or two frames over ends with two clips of about equal
    length instead. Frames are counted from `first_frame`. A clip comes with up to `look_ahead` of
    the frames after it. Raises ConfigError for clips of no frames.
    """

    def __init__(
        self,
        max_frames: int,
        first_frame: int = 0,
        *,
        look_ahead: int = 0,
        analysis: ShotAnalysis = NO_ANALYSIS,
    ) -> None:
        if max_frames < 1:
            raise ConfigError(f"{max_frames = } is out of range; a clip has at least 1 frame")
        self._max_frames = max_frames
        self._look_ahead = look_ahead
        self._shortest_rest = min(_SHORTEST_REST, max_frames)
        self._spare = max(self._shortest_rest, look_ahead)
        self._marker = TraitMarker(analysis)
        self._buffer: list[Frame] = []
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
            self._buffer.append(marked.frame)
            if len(self._buffer) == self._max_frames + self._spare:
                ready.append(self._take(self._max_frames))
        return ready

    def _end_shot(self) -> list[Clip]:
        rest: list[Clip] = []
        while self._buffer:
            rest.append(self._take(self._next_length()))
        self._starts_shot = True
        return rest

    def _next_length(self) -> int:
        """Return the length of the next clip at a shot's end: half of what would leave a rest."""
        remaining, longest = len(self._buffer), self._max_frames
        if remaining <= longest:
            return remaining
        return longest if remaining - longest >= self._shortest_rest else remaining // 2

    def _take(self, count: int) -> Clip:
        ahead = tuple(self._buffer[count : count + self._look_ahead])
        frames = tuple(self._buffer[:count])
        clip = Clip(frames, self._index, self._starts_shot, ahead, self._traits)
        del self._buffer[:count]
        self._index += count
        self._starts_shot = False
        return clip


def clips(
    frames: Iterable[Frame],
    *,
    max_frames: int,
    detector: ShotDetector | None,
    look_ahead: int = 0,
    analysis: ShotAnalysis = NO_ANALYSIS,
) -> Iterator[Clip]:
    """The frames in order as clips of at most `max_frames`, as `ClipGatherer` makes them.

    Lazy. Without a detector all is one shot. `analysis`: the traits that are found of each shot.
    """
    marked = _marked(frames, detector)
    return gathered(marked, max_frames=max_frames, look_ahead=look_ahead, analysis=analysis)


def gathered(
    marked: Iterable[tuple[Frame, bool]],
    *,
    max_frames: int,
    look_ahead: int = 0,
    analysis: ShotAnalysis = NO_ANALYSIS,
) -> Iterator[Clip]:
    """The frames, marked where a shot starts, as clips of at most `max_frames`. Lazy."""
    gatherer = ClipGatherer(max_frames, look_ahead=look_ahead, analysis=analysis)
    for frame, is_first in marked:
        yield from gatherer.push(frame, starts_shot=is_first)
    yield from gatherer.flush()


def _marked(frames: Iterable[Frame], detector: ShotDetector | None) -> Iterator[tuple[Frame, bool]]:
    if detector is not None:
        return detector.mark_cuts(frames)
    return ((frame, number == 0) for number, frame in enumerate(frames))
