"""The time of every frame, each later than the one before, for sources whose own times fail."""

import logging
from collections.abc import Iterable, Iterator
from fractions import Fraction

from av.video.frame import VideoFrame

from vsr.video.probe import VideoInfo

_log = logging.getLogger(__name__)

_EARLY_END_GAPS = 2
"""A file is truncated if it ends this many longest-frame-gaps before its declared end."""
_MOST_WAITING = 8
"""After this many frames without a later time, the clock has jumped back for good."""


class FrameClock:
    """Gives every frame a pts later than that of the frame before.

    A frame without a time, or with one that is not later, moves into the gap before the next frame
    that has one; all others keep their own times. If the clock jumps back for good, what follows
    keeps its distances and follows on.
    """

    def __init__(self, info: VideoInfo) -> None:
        self._info = info
        self._last: int | None = None
        self._last_duration = 0
        self._longest_gap = 0
        self._offset = 0
        self._repaired = 0
        rate = info.average_rate
        self._frame_duration = max(1, round(1 / (rate * info.time_base))) if rate else 1

    def timed(self, pictures: Iterable[VideoFrame]) -> Iterator[tuple[VideoFrame, int]]:
        """Every picture with its pts."""
        waiting: list[VideoFrame] = []
        for picture in pictures:
            pts = self._own_pts(picture)
            if self._last is None:
                yield self._accepted(picture, self._info.start_pts if pts is None else pts)
            elif pts is not None and pts > self._last:
                yield from self._between(waiting, pts)
                waiting = []
                yield self._accepted(picture, max(pts, self._last + 1))
            else:
                waiting.append(picture)
                if len(waiting) == _MOST_WAITING:
                    yield from self._following(waiting)
                    waiting = []
        yield from self._following(waiting)

    def report(self) -> None:
        """Say in the log how many frames were given another time."""
        if self._repaired:
            _log.warning(
                "%s: %d frames had no time of their own, or not a later one than the frame "
                "before; each got a time before the next frame",
                self._info.path,
                self._repaired,
            )

    def missing_seconds(self) -> Fraction:
        """Seconds between the end of the last frame and the declared end, if it is a clear gap."""
        info = self._info
        if info.duration is None or self._last is None or not info.has_own_duration:
            return Fraction(0)
        end = self._last + self._last_duration
        gap = info.duration - (end - info.start_pts) * info.time_base
        usual = max(self._longest_gap, self._frame_duration) * info.time_base
        return gap if gap > _EARLY_END_GAPS * usual else Fraction(0)

    def _own_pts(self, picture: VideoFrame) -> int | None:
        pts = picture.pts if picture.pts is not None else picture.dts
        return None if pts is None else pts + self._offset

    def _accepted(self, picture: VideoFrame, pts: int) -> tuple[VideoFrame, int]:
        if self._last is not None:
            self._longest_gap = max(self._longest_gap, pts - self._last)
        self._last = pts
        self._last_duration = picture.duration or self._frame_duration
        return picture, pts

    def _between(self, waiting: list[VideoFrame], end: int) -> Iterator[tuple[VideoFrame, int]]:
        """The waiting frames with times between the last frame and `end`."""
        assert self._last is not None
        room = (end - self._last) // (len(waiting) + 1)
        for picture in waiting:
            step = min(picture.duration or self._frame_duration, room)
            self._repaired += 1
            yield self._accepted(picture, self._last + max(1, step))

    def _following(self, waiting: list[VideoFrame]) -> Iterator[tuple[VideoFrame, int]]:
        """The waiting frames one after the other, at their own distances if they have any."""
        for picture in waiting:
            assert self._last is not None
            pts = self._own_pts(picture)
            if pts is None or pts <= self._last:
                follows = self._last + self._last_duration
                self._offset += 0 if pts is None else follows - pts
                pts = follows
            self._repaired += 1
            yield self._accepted(picture, pts)
