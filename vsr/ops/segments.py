"""Segments: the frames of one U-Net call, and the weights that blend overlapping ones.

The plan is data: a sampler multiplies and adds, whichever published pipeline it follows.
"""

from dataclasses import dataclass
from math import ceil
from typing import Literal

from vsr.errors import ConfigError

BlendKind = Literal["crossfade", "running"]


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """Frames [start, stop) of a clip."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"a segment needs 0 <= start < stop, found {self.start}, {self.stop}")

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class WeightedSegment:
    """Frames [start, stop) with the segment's weight in each of them."""

    start: int
    stop: int
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop or len(self.weights) != self.stop - self.start:
            raise ValueError(
                f"a weighted segment needs 0 <= start < stop and a weight for each frame, found "
                f"{self.start}, {self.stop}, {len(self.weights)} weights"
            )


def plan_segments(frame_count: int, *, length: int, stride: int) -> tuple[Segment, ...]:
    """Returns segments in visiting order, as the published Upscale-A-Video visits them.

    They start every `stride` frames while frames remain; one that would reach past the end is moved
    back to full length. So the last may come twice: 14 frames, length 8, stride 6 give (0, 8),
    (6, 14), (6, 14). A clip of at most `length` frames is one segment.
    """
    _check(frame_count, length, stride)
    if frame_count <= length:
        return (Segment(0, frame_count),)
    stops = (min(frame_count, start + length) for start in range(0, frame_count, stride))
    return tuple(Segment(stop - length, stop) for stop in stops)


def fitted_length(frame_count: int, *, length: int, overlap: int) -> int:
    """Returns the smallest segment length that needs no more segments than `length` does.

    Then the last one need not be moved back over frames that are already covered: 20 frames by 17
    with an overlap of 2 are two segments of 11.
    """
    count = max(1, ceil((frame_count - overlap) / (length - overlap)))
    return min(frame_count, ceil((frame_count + (count - 1) * overlap) / count))


def blend_plan(
    frame_count: int, *, length: int, stride: int, kind: BlendKind = "crossfade"
) -> tuple[WeightedSegment, ...]:
    """Returns each segment once, with weights that sum to 1 at every frame.

    "crossfade" ramps linearly across each overlap. "running" reproduces the published average in
    visiting order, new = (stored + new) / 2, its repeated visits merged into one weight.
    """
    visits = plan_segments(frame_count, length=length, stride=stride)
    if kind == "running":
        return _running(visits, frame_count)
    return _crossfade(tuple(dict.fromkeys(visits)), frame_count)


def _running(visits: tuple[Segment, ...], frame_count: int) -> tuple[WeightedSegment, ...]:
    visitors: list[list[Segment]] = [[] for _ in range(frame_count)]
    for segment in visits:
        for frame in range(segment.start, segment.stop):
            visitors[frame].append(segment)
    weights = {segment: [0.0] * len(segment) for segment in visits}
    for frame, segments in enumerate(visitors):
        for visit, segment in enumerate(segments):
            # every later visit halves what is stored; the first was stored whole
            halvings = len(segments) - max(visit, 1)
            weights[segment][frame - segment.start] += 0.5**halvings
    return tuple(WeightedSegment(s.start, s.stop, tuple(row)) for s, row in weights.items())


def _crossfade(segments: tuple[Segment, ...], frame_count: int) -> tuple[WeightedSegment, ...]:
    ramps: list[list[float]] = []
    totals = [0.0] * frame_count
    for i, segment in enumerate(segments):
        before = segments[i - 1].stop - segment.start if i > 0 else 0
        after = segment.stop - segments[i + 1].start if i + 1 < len(segments) else 0
        ramp = [_ramp(k, before) * _ramp(len(segment) - 1 - k, after) for k in range(len(segment))]
        ramps.append(ramp)
        for k, weight in enumerate(ramp):
            totals[segment.start + k] += weight
    return tuple(
        WeightedSegment(
            segment.start,
            segment.stop,
            tuple(weight / totals[segment.start + k] for k, weight in enumerate(ramp)),
        )
        for segment, ramp in zip(segments, ramps, strict=True)
    )


def _ramp(distance: int, overlap: int) -> float:
    """1/(n+1), ..., n/(n+1) over an overlap of n frames from the edge, then 1."""
    return min(1.0, (distance + 1) / (overlap + 1))


def _check(frame_count: int, length: int, stride: int) -> None:
    if frame_count < 1:
        raise ConfigError(f"segments need at least one frame, found {frame_count = }")
    if not 1 <= stride <= length:
        raise ConfigError(
            f"segments need 1 <= stride <= length, found {stride = }, {length = }: "
            "a longer stride would leave frames out"
        )
