"""The parts of a video that training decodes: a few seconds each, spread over its shots."""

import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from vsr.training.data.clip_row import Bars

_PART_SECONDS = 2.0
_TOLERANCE = 1e-3
"""Rounding of the times of a file, in seconds."""


@dataclass(frozen=True, slots=True)
class Shot:
    """Frames without a cut, shown in [start, end) seconds after the first frame of the video."""

    start: Fraction
    end: Fraction
    bars: Bars = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class VideoSource:
    """A video and its usable shots; a video without shots is searched for cuts."""

    path: Path
    shots: tuple[Shot, ...] = ()
    caption: str = ""


@dataclass(frozen=True, slots=True)
class SourcePart:
    """A part that is decoded at once; times in seconds."""

    start: float
    seconds: float
    bars: Bars = (0, 0, 0, 0)


def choose_parts(source: VideoSource, *, duration: float, count: int) -> list[SourcePart]:
    """At most `count` parts, a pure function of the file's name, its shots and its duration."""
    if source.shots:
        return _parts_of_shots(source, count)
    return [SourcePart(start, _PART_SECONDS) for start in _starts(source.path, duration, count)]


def _parts_of_shots(source: VideoSource, count: int) -> list[SourcePart]:
    """Parts spread over the shots as if these were one film; no part leaves its shot."""
    lengths = np.cumsum([float(shot.end - shot.start) for shot in source.shots])
    count = min(count, max(len(lengths), int(lengths[-1] / _PART_SECONDS)))
    rng = _generator(source.path)
    found: dict[float, SourcePart] = {}
    for place in (np.arange(count) + rng.random(count)) * lengths[-1] / count:
        number = min(int(np.searchsorted(lengths, place, "right")), len(lengths) - 1)
        shot = source.shots[number]
        # Both bounds move by the same amount, so a rounded time stays on its side of both.
        first, end = float(shot.start) - _TOLERANCE, float(shot.end) - _TOLERANCE
        start = float(shot.end) - (float(lengths[number]) - place)
        start = max(first, min(start, end - _PART_SECONDS), 0.0)
        found[start] = SourcePart(start, min(_PART_SECONDS, end - start), shot.bars)
    return list(found.values())


def _starts(path: Path, duration: float, count: int) -> list[float]:
    count = max(1, min(count, int(duration / _PART_SECONDS)))
    rng = _generator(path)
    slack = max(0.0, duration - _PART_SECONDS) / count
    return [(i + float(rng.random())) * slack for i in range(count)]


def _generator(path: Path) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(path.name.encode()))
