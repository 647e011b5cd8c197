"""From files to rows of a manifest: probing, cutting into shots, measuring."""

import dataclasses
import logging
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vsr.errors import InputError
from vsr.training.data.clip_row import ClipRow, Split, hashed_split
from vsr.training.data.photos import PHOTO_SUFFIXES
from vsr.training.data.random_access import read_part
from vsr.training.data.videos import VIDEO_SUFFIXES
from vsr.training.preparation import measure
from vsr.video.images import read_image
from vsr.video.pixels import as_uint8
from vsr.video.probe import VideoInfo, probe
from vsr.video.reading.reader import VideoReader
from vsr.video.reading.shots import ShotDetector

_log = logging.getLogger(__name__)

_PLACES = 4
"""Number of places at which a video is measured."""


def list_media(root: Path) -> Iterator[Path]:
    """The pictures and videos below a folder, in the order of their names relative to it.

    Hidden files and folders are left out, and links to folders. Memory holds the names of one
    folder, and of those above it.
    """
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; give one with videos and pictures")
    return _media_below(root)


def probe_clip(path: Path, root: Path, shares: dict[Split, float]) -> ClipRow:
    """One row with a whole picture or video; InputError where it cannot be read."""
    stat, source = path.stat(), path.relative_to(root).as_posix()
    common: dict[str, Any] = {
        "source": source,
        "split": hashed_split(source, shares),
        "file_bytes": stat.st_size,
        "modified_ns": stat.st_mtime_ns,
    }
    if path.suffix.lower() in PHOTO_SUFFIXES:
        height, width = read_image(path).shape[:2]
        return ClipRow(kind="image", width=width, height=height, **common)
    info = probe(path)
    frames, seconds = _length(info)
    return ClipRow(
        kind="video",
        width=info.width,
        height=info.height,
        end_frame=frames,
        end=seconds,
        rate=info.average_rate,
        **common,
    )


def cut_into_shots(row: ClipRow, root: Path) -> list[ClipRow]:
    """The shots of a whole video, counted frame by frame, as rows of their own."""
    with VideoReader(root / row.source, tolerant=True) as reader:
        first = reader.info.start_pts * reader.info.time_base
        starts: list[tuple[int, Fraction]] = []
        number, seconds, step = 0, Fraction(0), Fraction(0)
        for frame, starts_shot in ShotDetector().mark_cuts(reader):
            step, seconds = frame.seconds - first - seconds, frame.seconds - first
            if starts_shot:
                starts.append((number, seconds))
            number += 1
    # The last frame is shown as long as the one before it; a single one for a frame's time.
    step = step or 1 / (row.rate or Fraction(25))
    ends = [*starts[1:], (number, seconds + step)]
    return [
        dataclasses.replace(
            row, shot=shot, first_frame=first, start=start, end_frame=end_frame, end=end
        )
        for shot, ((first, start), (end_frame, end)) in enumerate(zip(starts, ends, strict=True))
    ]


def measure_clip(row: ClipRow, root: Path) -> ClipRow:
    """The row with its motion, sharpness, black bars, text and hash."""
    if row.kind == "image":
        places = [[as_uint8(read_image(root / row.source))]]
    else:
        places = list(_sample_pairs(root / row.source, row))
    firsts = [frames[0] for frames in places]
    top, bottom, left, right = measure.black_bars(firsts)
    inside = np.s_[top : row.height - bottom, left : row.width - right]
    pictures = [np.ascontiguousarray(frame[inside]) for frame in firsts]
    pairs = [(frames[0], frames[1]) for frames in places if len(frames) == 2]
    return dataclasses.replace(
        row,
        motion=round(measure.motion(pairs), 4) if pairs else None,
        sharpness=round(float(np.mean([measure.sharpness(p) for p in pictures])), 3),
        bar_top=top,
        bar_bottom=bottom,
        bar_left=left,
        bar_right=right,
        text=round(measure.text_share(pictures), 5),
        phash=measure.perceptual_hash(pictures[len(pictures) // 2]),
    )


def clip_frames(
    row: ClipRow, root: Path, *, frames: int | None = None
) -> UInt8[np.ndarray, "t h w 3"]:
    """The first frames of a clip (None: all), without its black bars."""
    path = root / row.source
    if row.kind == "image":
        pictures: Sequence[np.ndarray] = [as_uint8(read_image(path))]
    else:
        part = read_part(
            path,
            start=max(0.0, float(row.start) - 1e-3),
            seconds=float(row.end - row.start) - (0 if row.start else 1e-3),
            access="av",
        )
        pictures = [frame.pixels for frame in islice(part, frames)]
    top, bottom, left, right = row.bars
    return np.stack(pictures)[:, top : row.height - bottom, left : row.width - right]


def middle_of(row: ClipRow) -> ClipRow:
    """The second half of a clip, whose first frame is the middle one."""
    start = row.start + (row.end - row.start) / 2
    return dataclasses.replace(row, start=start) if row.kind == "video" else row


def _media_below(folder: Path) -> Iterator[Path]:
    for name in _sorted_names(folder):
        if name.endswith("/"):
            yield from _media_below(folder / name)
        elif Path(name).suffix.lower() in PHOTO_SUFFIXES | VIDEO_SUFFIXES:
            yield folder / name


def _sorted_names(folder: Path) -> list[str]:
    """The names in a folder. Those of folders end in a slash, which orders whole paths."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name + "/" * entry.is_dir(follow_symlinks=False)
                for entry in entries
                if not entry.name.startswith(".")
            )
    except OSError as error:
        _log.warning("%s: skipped, with all that is in it: %s", folder, error.strerror)
        return []


def _sample_pairs(path: Path, row: ClipRow) -> Iterator[list[np.ndarray]]:
    """Frames in pairs, at places spread evenly over the clip."""
    length = float(row.end - row.start)
    found = False
    for place in range(_PLACES):
        start = max(0.0, float(row.start) + length * (place + 0.5) / _PLACES - 1e-3)
        left = float(row.end) - start - 1e-3
        try:
            part = read_part(path, start=start, seconds=left, access="av")
            frames = [frame.pixels for frame in islice(part, 2)]
        except InputError:
            continue  # a damaged place; another may be whole
        found = found or bool(frames)
        if frames:
            yield frames
    if not found:
        raise InputError(f"{row.key}: none of {_PLACES} places can be decoded")


def _length(info: VideoInfo) -> tuple[int, Fraction]:
    """Frames and seconds as the file says; counted where it does not."""
    if info.frame_count and info.duration:
        return info.frame_count, info.duration
    count, last = 0, Fraction(0)
    with VideoReader(info.path, tolerant=True) as reader:
        for frame in reader:
            count, last = count + 1, frame.seconds
    step = 1 / (info.average_rate or Fraction(25))
    return count, last - info.start_pts * info.time_base + step
