"""Frames gathered into clips: the bounded runs of one shot that are in memory at once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vsr.errors import ConfigError
from vsr.video.reader import Frame
from vsr.video.shots import ShotDetector

_SHORTEST_REST = 3
"""A rest of fewer frames at the end of a shot is avoided where the length allows it."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Consecutive frames of one shot; `starts_shot` is False where it goes on from the clip before.

    `first_frame_index` counts from the first frame that was given to `clips`.
    """

    frames: tuple[Frame, ...]
    first_frame_index: int
    starts_shot: bool


def clips(
    frames: Iterable[Frame], *, max_frames: int, detector: ShotDetector | None
) -> Iterator[Clip]:
    """The frames in order as clips of at most `max_frames`, none across a cut.

    Lazy: it holds one clip and a few frames more. Without a detector all is one shot. A shot that
    would leave one or two frames over ends with two clips of about equal length instead.
    """
    if max_frames < 1:
        raise ConfigError(f"{max_frames = } is out of range; a clip has at least 1 frame")
    spare = min(_SHORTEST_REST, max_frames)
    index = 0
    starts_shot = True
    buffer: list[Frame] = []

    def take(count: int) -> Clip:
        nonlocal index, starts_shot
        clip = Clip(tuple(buffer[:count]), index, starts_shot)
        del buffer[:count]
        index += count
        starts_shot = False
        return clip

    for frame, is_first in _marked(frames, detector):
        if is_first:
            while buffer:
                yield take(_next_length(len(buffer), max_frames))
            starts_shot = True
        buffer.append(frame)
        if len(buffer) == max_frames + spare:
            yield take(max_frames)
    while buffer:
        yield take(_next_length(len(buffer), max_frames))


def _marked(frames: Iterable[Frame], detector: ShotDetector | None) -> Iterator[tuple[Frame, bool]]:
    if detector is not None:
        return detector.mark_cuts(frames)
    return ((frame, number == 0) for number, frame in enumerate(frames))


def _next_length(remaining: int, max_frames: int) -> int:
    """How many of the last frames of a shot go into the next clip: all, or the smaller half."""
    return remaining if remaining <= max_frames else remaining // 2
