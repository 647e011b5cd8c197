"""Photographs and parts of videos, decoded once and kept: what training clips are cut from."""

import hashlib
import json
import logging
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from vsr.errors import ConfigError, InputError, VsrError
from vsr.runtime.files import atomic_new_folder
from vsr.training.data.manifest import Bars
from vsr.training.data.motion import Photo, detail_map
from vsr.training.data.random_access import Access, read_part
from vsr.video.reading.reader import Frame, VideoReader
from vsr.video.reading.shots import ShotDetector

_log = logging.getLogger(__name__)
PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".ts"})
_PART_SECONDS = 2.0
_TOLERANCE = 1e-3
"""Seconds by which the times of a file may be rounded."""


class PhotoLibrary:
    """Photographs by number, the last used ones kept decoded in memory.

    `skipped` names the files that cannot be used, with the reason. Worker processes forked after
    `preload` share its memory.
    """

    def __init__(self, paths: Sequence[Path], *, memory: int) -> None:
        self.paths: Sequence[Path] = tuple(paths)
        self.skipped: dict[Path, str] = {}
        self._memory = memory
        self.held = 0
        self._photos: OrderedDict[Path, Photo] = OrderedDict()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> Photo:
        """The photograph; raises InputError where it cannot be decoded."""
        path = self.paths[number]
        if path in self.skipped:
            raise InputError(self.skipped[path])
        if path not in self._photos:
            self._keep(path, self._decode(path))
        self._photos.move_to_end(path)
        return self._photos[path]

    def preload(self) -> None:
        """Decodes photographs until the memory is full."""
        for number in range(len(self)):
            if self.held >= self._memory:
                return
            if self.paths[number] not in self.skipped:
                try:
                    self[number]
                except InputError:
                    continue  # noted in `skipped`, with a line in the log

    def __getstate__(self) -> dict[str, Any]:
        """Without the pixels: a spawned process decodes its own."""
        return self.__dict__ | {"_photos": OrderedDict(), "held": 0}

    def _decode(self, path: Path) -> Photo:
        try:
            data = np.fromfile(path, np.uint8)
        except OSError as error:
            raise self._unusable(path, f"cannot be read ({error.strerror})") from error
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if pixels is None:
            raise self._unusable(path, "is not a picture that can be decoded")
        rgb = np.ascontiguousarray(pixels[..., ::-1])
        return Photo(rgb, detail_map(rgb))

    def _unusable(self, path: Path, reason: str) -> InputError:
        self.skipped[path] = f"{path} {reason}"
        _log.warning("%s: skipped (%d skipped)", self.skipped[path], len(self.skipped))
        return InputError(self.skipped[path])

    def _keep(self, path: Path, photo: Photo) -> None:
        self._photos[path] = photo
        self.held += photo.pixels.nbytes
        while self.held > self._memory and len(self._photos) > 1:
            self.held -= self._photos.popitem(last=False)[1].pixels.nbytes


@dataclass(frozen=True, slots=True)
class Shot:
    """Frames without a cut: those shown in [start, end) seconds after the first of their video."""

    start: Fraction
    end: Fraction
    bars: Bars = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class VideoSource:
    """A video and the shots of it that may be used; without any it is searched for cuts."""

    path: Path
    shots: tuple[Shot, ...] = ()
    caption: str = ""


@dataclass(frozen=True, slots=True)
class _Part:
    """What is decoded at once; times in seconds."""

    start: float
    seconds: float
    bars: Bars = (0, 0, 0, 0)


class VideoLibrary:
    """Runs of consecutive frames without a cut, from a few parts of each video, reduced once.

    They are decoded into `cache`, one folder a video with a `.npy` file a run, and mapped from
    there: the system's page cache holds what is in use, once for all processes. The parts depend
    on the video and its shots alone. `skipped` names the files that cannot be used.
    """

    def __init__(
        self,
        sources: Sequence[VideoSource],
        *,
        cache: Path,
        scale: float,
        parts: int,
        min_side: int,
        min_frames: int,
        access: Access = "decord",
    ) -> None:
        self.skipped: dict[Path, str] = {}
        self._access: Access = access
        self._scale, self._parts, self._min_side = scale, parts, min_side
        self._cache = cache.expanduser()
        self.videos: list[list[Path]] = []
        self.captions: list[str] = []
        for source in sources:
            try:
                self.videos.append(self._long_runs(source, min_frames))
                self.captions.append(source.caption)
            except VsrError as error:
                self._skip(source.path, str(error))

    def __len__(self) -> int:
        return len(self.videos)

    def run(self, video: int, rng: np.random.Generator) -> UInt8[np.ndarray, "t h w 3"]:
        """One of the video's runs, memory-mapped; raises InputError where it cannot be read."""
        runs = self.videos[video]
        path = runs[int(rng.integers(len(runs)))]
        try:
            return np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            if path not in self.skipped:
                self._skip(path, f"frames in the cache cannot be read ({error}); remove its folder")
            raise InputError(self.skipped[path]) from error

    def _skip(self, path: Path, reason: str) -> None:
        self.skipped[path] = reason
        _log.warning("%s: skipped (%d skipped): %s", path, len(self.skipped), reason)

    def _long_runs(self, source: VideoSource, min_frames: int) -> list[Path]:
        with VideoReader(source.path) as reader:
            size = (reader.info.width, reader.info.height)
            duration = float(reader.info.duration or 0)
        folder = self._cache / self._key(source, self._reduced_size(*size, source.path))
        if not folder.is_dir():
            parts = (
                self._parts_of_shots(source)
                if source.shots
                else self._parts_of(source.path, duration)
            )
            self._fill(source, folder, size=size, parts=parts)
        lengths = {run: len(np.load(run, mmap_mode="r")) for run in sorted(folder.glob("*.npy"))}
        long = [run for run, length in lengths.items() if length >= min_frames]
        if not long:
            raise InputError(
                f"no {min_frames} frames without a cut in {source.path}; the longest of "
                f"{len(lengths)} runs has {max(lengths.values(), default=0)}"
            )
        return long

    def _key(self, source: VideoSource, size: tuple[int, int]) -> str:
        path, stat = source.path, source.path.stat()
        identity: list[object] = [
            str(path.resolve()),
            stat.st_size,
            stat.st_mtime_ns,
            self._parts,
            size,
            self._access,
        ]
        if source.shots:
            identity.append([[str(shot.start), str(shot.end), shot.bars] for shot in source.shots])
        return f"{path.stem}-{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]}"

    def _fill(
        self, source: VideoSource, folder: Path, *, size: tuple[int, int], parts: Sequence[_Part]
    ) -> None:
        """Writes the runs of the parts; the folder appears complete or not at all."""
        self._cache.mkdir(parents=True, exist_ok=True)
        with atomic_new_folder(folder) as partial:
            runs = (run for part in parts for run in self._decode_runs(source, part, size))
            for number, run in enumerate(runs):
                np.save(partial / f"{number:04d}.npy", run)

    def _decode_runs(
        self, source: VideoSource, part: _Part, size: tuple[int, int]
    ) -> list[UInt8[np.ndarray, "t h w 3"]]:
        """The frames of a part, without its black bars, split at cuts where these are not known."""
        top, bottom, left, right = part.bars
        inside = np.s_[top : size[1] - bottom, left : size[0] - right]
        reduced = self._reduced_size(size[0] - left - right, size[1] - top - bottom, source.path)
        frames = read_part(source.path, start=part.start, seconds=part.seconds, access=self._access)
        runs: list[list[np.ndarray]] = []
        marked = ShotDetector().mark_cuts(frames) if not source.shots else _one_shot(frames)
        for frame, starts_shot in marked:
            if starts_shot:
                runs.append([])
            picture = np.ascontiguousarray(frame.pixels[inside])
            runs[-1].append(cv2.resize(picture, reduced, interpolation=cv2.INTER_AREA))
        return [np.stack(run) for run in runs]

    def _parts_of(self, path: Path, duration: float) -> list[_Part]:
        return [_Part(start, _PART_SECONDS) for start in self._starts(path, duration)]

    def _parts_of_shots(self, source: VideoSource) -> list[_Part]:
        """Parts spread over the shots as if these were one film; no part leaves its shot."""
        lengths = np.cumsum([float(shot.end - shot.start) for shot in source.shots])
        count = min(self._parts, max(len(lengths), int(lengths[-1] / _PART_SECONDS)))
        rng = np.random.default_rng(zlib.crc32(source.path.name.encode()))
        found: dict[float, _Part] = {}
        for place in (np.arange(count) + rng.random(count)) * lengths[-1] / count:
            number = min(int(np.searchsorted(lengths, place, "right")), len(lengths) - 1)
            shot = source.shots[number]
            # The bounds move ahead together: a time that is rounded stays on its side of both.
            first, end = float(shot.start) - _TOLERANCE, float(shot.end) - _TOLERANCE
            start = float(shot.end) - (float(lengths[number]) - place)
            start = max(first, min(start, end - _PART_SECONDS), 0.0)
            found[start] = _Part(start, min(_PART_SECONDS, end - start), shot.bars)
        return list(found.values())

    def _starts(self, path: Path, duration: float) -> list[float]:
        count = max(1, min(self._parts, int(duration / _PART_SECONDS)))
        rng = np.random.default_rng(zlib.crc32(path.name.encode()))
        slack = max(0.0, duration - _PART_SECONDS) / count
        return [(i + float(rng.random())) * slack for i in range(count)]

    def _reduced_size(self, width: int, height: int, path: Path) -> tuple[int, int]:
        scale = max(self._scale, self._min_side / min(height, width))
        if scale > 1:
            raise InputError(
                f"{path} has frames of {width}x{height}; both sides must be at least "
                f"{self._min_side}"
            )
        return round(width * scale), round(height * scale)


def photo_files(folders: Sequence[Path]) -> list[Path]:
    """The photographs below the folders; raises ConfigError where one of these is none."""
    return _files(folders, PHOTO_SUFFIXES)


def video_files(folders: Sequence[Path]) -> list[Path]:
    """The videos below the folders; raises ConfigError where one of these is none."""
    return _files(folders, VIDEO_SUFFIXES)


def _one_shot(frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool]]:
    return ((frame, number == 0) for number, frame in enumerate(frames))


def _files(folders: Sequence[Path], suffixes: frozenset[str]) -> list[Path]:
    files: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"{folder} is not a folder; give folders of photographs or videos")
        files += sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes)
    return files
