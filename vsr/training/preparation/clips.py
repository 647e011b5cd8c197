"""From files to rows of a manifest: probing, cutting into shots, measuring, judging."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vsr.errors import ConfigError, InputError
from vsr.training.data.manifest import ClipRow, Split, hashed_split
from vsr.training.data.photos import PHOTO_SUFFIXES
from vsr.training.data.random_access import read_part
from vsr.training.data.videos import VIDEO_SUFFIXES
from vsr.training.preparation import measure
from vsr.video.images import read_image
from vsr.video.pixels import as_uint8
from vsr.video.probe import VideoInfo, probe
from vsr.video.reading.reader import VideoReader
from vsr.video.reading.shots import ShotDetector

_PLACES = 4
"""Number of places at which a video is measured."""


@dataclass(frozen=True, slots=True)
class FilterConfig:
    """Limits for a clip to be kept; motion, sharpness and text as in the manifest.

    `duplicate_bits` of 64 may differ between near-duplicates; -1 keeps all.
    """

    min_side: int = 192
    min_frames: int = 8
    min_motion: float = 0.0
    max_motion: float = 60.0
    min_sharpness: float = 4.0
    max_text: float = 0.004
    duplicate_bits: int = 4

    def __post_init__(self) -> None:
        if self.min_side < 1 or self.min_frames < 1:
            raise ConfigError(f"{self.min_side = } and {self.min_frames = } must be at least 1")
        if not 0 <= self.min_motion < self.max_motion:
            raise ConfigError(f"{self.min_motion = } must be below {self.max_motion = }, both >= 0")
        if not -1 <= self.duplicate_bits <= 32:
            raise ConfigError(f"{self.duplicate_bits = } must lie between -1 and 32")


def list_media(root: Path) -> list[Path]:
    """The pictures and videos below a folder, in order; hidden files are left out."""
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; give one with videos and pictures")
    wanted = PHOTO_SUFFIXES | VIDEO_SUFFIXES
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in wanted
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )


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


def judge(rows: Iterable[ClipRow], config: FilterConfig) -> list[ClipRow]:
    """The rows with `kept` and `reason` as the config has it, whatever they were before."""
    judged = [_judged(row, _fault(row, config)) for row in rows]
    kept = [place for place, row in enumerate(judged) if row.kept and row.phash is not None]
    hashes = [judged[place].phash or "" for place in kept]
    for copy, original in measure.near_duplicates(hashes, max_bits=config.duplicate_bits).items():
        reason = f"near-duplicate of {judged[kept[original]].key}"
        judged[kept[copy]] = _judged(judged[kept[copy]], reason)
    return judged


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


def _fault(row: ClipRow, config: FilterConfig) -> str:
    """Why the row is not kept; empty if it is."""
    width, height = row.picture_size
    if min(width, height) < config.min_side:
        return f"small: {width}x{height} inside its bars, at least {config.min_side} wanted"
    if row.kind == "image" and any(row.bars):
        return f"black bars {row.bars}"
    if row.kind == "video" and row.frames < config.min_frames:
        return f"short: {row.frames} frames, at least {config.min_frames} wanted"
    if row.motion is not None and not config.min_motion <= row.motion <= config.max_motion:
        return f"motion {row.motion:g}, {config.min_motion:g} to {config.max_motion:g} wanted"
    if row.sharpness is not None and row.sharpness < config.min_sharpness:
        return f"blurred: sharpness {row.sharpness:g}, at least {config.min_sharpness:g} wanted"
    if row.text is not None and row.text > config.max_text:
        return f"text on {row.text:.2%} of the picture, at most {config.max_text:.2%} wanted"
    return ""


def _judged(row: ClipRow, reason: str) -> ClipRow:
    return dataclasses.replace(row, kept=not reason, reason=reason)


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
