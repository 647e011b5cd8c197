"""Parts of videos that are decoded once into a cache on the disk."""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from vsr.errors import InputError, VsrError
from vsr.runtime.files import atomic_new_folder
from vsr.training.data.parts import SourcePart, VideoSource, choose_parts
from vsr.training.data.random_access import Access, read_part
from vsr.video.reading.reader import Frame, VideoReader
from vsr.video.reading.shots import ShotDetector

_log = logging.getLogger(__name__)

VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".ts"})


class VideoLibrary:
    """Runs of consecutive frames without a cut, from a few parts of each video, reduced once.

    They are decoded into `cache`, with a folder for each video and a `.npy` file for each run, and
    memory-mapped: the page cache of the system shares them between processes. The parts depend on
    the video and its shots alone. `skipped` names the files that cannot be used.
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
        """One of the video's runs, memory-mapped; raises InputError if it cannot be read."""
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
            parts = choose_parts(source, duration=duration, count=self._parts)
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
        self,
        source: VideoSource,
        folder: Path,
        *,
        size: tuple[int, int],
        parts: Sequence[SourcePart],
    ) -> None:
        """Write the runs of the parts; the folder appears complete or not at all."""
        self._cache.mkdir(parents=True, exist_ok=True)
        with atomic_new_folder(folder) as partial:
            runs = (run for part in parts for run in self._decode_runs(source, part, size))
            for number, run in enumerate(runs):
                np.save(partial / f"{number:04d}.npy", run)

    def _decode_runs(
        self, source: VideoSource, part: SourcePart, size: tuple[int, int]
    ) -> list[UInt8[np.ndarray, "t h w 3"]]:
        """The frames of a part without its black bars, split at cuts if these are not known yet."""
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

    def _reduced_size(self, width: int, height: int, path: Path) -> tuple[int, int]:
        scale = max(self._scale, self._min_side / min(height, width))
        if scale > 1:
            raise InputError(
                f"{path} has frames of {width}x{height}; both sides must be at least "
                f"{self._min_side}"
            )
        return round(width * scale), round(height * scale)


def _one_shot(frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool]]:
    return ((frame, number == 0) for number, frame in enumerate(frames))
