"""Photographs and parts of videos, decoded once and kept: what training clips are cut from."""

import hashlib
import json
import logging
import shutil
import tempfile
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from vsr.errors import ConfigError, InputError, VsrError
from vsr.training.motion import Photo, detail_map
from vsr.training.random_access import Access, read_part
from vsr.video.reader import VideoReader
from vsr.video.shots import ShotDetector

_log = logging.getLogger(__name__)
_PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
_VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".ts"})
_PART_SECONDS = 2.0


class PhotoLibrary:
    """Photographs by number, the last used ones kept decoded in memory.

    `skipped` names the files that cannot be used, with the reason. Worker processes forked after
    `preload` share its memory.
    """

    def __init__(self, folders: Sequence[Path], *, memory: int) -> None:
        self.paths = _files(folders, _PHOTO_SUFFIXES)
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
        data = np.fromfile(path, np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if pixels is None:
            self.skipped[path] = f"{path} is not a picture that can be decoded"
            _log.warning("%s: skipped (%d skipped)", self.skipped[path], len(self.skipped))
            raise InputError(self.skipped[path])
        rgb = np.ascontiguousarray(pixels[..., ::-1])
        return Photo(rgb, detail_map(rgb))

    def _keep(self, path: Path, photo: Photo) -> None:
        self._photos[path] = photo
        self.held += photo.pixels.nbytes
        while self.held > self._memory and len(self._photos) > 1:
            self.held -= self._photos.popitem(last=False)[1].pixels.nbytes


class VideoLibrary:
    """Runs of consecutive frames without a cut, from a few parts of each video, reduced once.

    They are decoded into `cache`, one folder a video with a `.npy` file a run, and mapped from
    there: the system's page cache holds what is in use, once for all processes. The parts depend
    on the video alone. `skipped` names the files that cannot be used.
    """

    def __init__(
        self,
        folders: Sequence[Path],
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
        for path in _files(folders, _VIDEO_SUFFIXES):
            try:
                self.videos.append(self._long_runs(path, min_frames))
            except VsrError as error:
                self.skipped[path] = str(error)
                _log.warning("%s: skipped (%d skipped): %s", path, len(self.skipped), error)

    def __len__(self) -> int:
        return len(self.videos)

    def run(self, video: int, rng: np.random.Generator) -> UInt8[np.ndarray, "t h w 3"]:
        """One of the video's runs, memory-mapped."""
        runs = self.videos[video]
        return np.load(runs[int(rng.integers(len(runs)))], mmap_mode="r")

    def _long_runs(self, path: Path, min_frames: int) -> list[Path]:
        with VideoReader(path) as reader:
            size = self._reduced_size(reader.info.width, reader.info.height, path)
            duration = float(reader.info.duration or 0)
        folder = self._cache / self._key(path, size)
        if not folder.is_dir():
            self._fill(path, folder, size=size, starts=self._starts(path, duration))
        runs = sorted(folder.glob("*.npy"))
        long = [run for run in runs if len(np.load(run, mmap_mode="r")) >= min_frames]
        if not long:
            raise InputError(f"no {min_frames} frames without a cut in {path}")
        return long

    def _key(self, path: Path, size: tuple[int, int]) -> str:
        stat = path.stat()
        identity = [
            str(path.resolve()),
            stat.st_size,
            stat.st_mtime_ns,
            self._parts,
            size,
            self._access,
        ]
        return f"{path.stem}-{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]}"

    def _fill(
        self, path: Path, folder: Path, *, size: tuple[int, int], starts: Sequence[float]
    ) -> None:
        """Writes the runs of the parts at `starts`; the folder appears complete or not at all."""
        self._cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=self._cache))
        try:
            runs = (run for start in starts for run in self._decode_runs(path, start, size))
            for number, run in enumerate(runs):
                np.save(partial / f"{number:04d}.npy", run)
            if not folder.is_dir():  # another process may have been faster
                partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _decode_runs(
        self, path: Path, start: float, size: tuple[int, int]
    ) -> list[UInt8[np.ndarray, "t h w 3"]]:
        """The frames of the part at `start` seconds, split at cuts."""
        runs: list[list[np.ndarray]] = []
        part = read_part(path, start=start, seconds=_PART_SECONDS, access=self._access)
        for frame, starts_shot in ShotDetector().mark_cuts(part):
            if starts_shot:
                runs.append([])
            runs[-1].append(cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA))
        return [np.stack(run) for run in runs]

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


def _files(folders: Sequence[Path], suffixes: frozenset[str]) -> list[Path]:
    files: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"{folder} is not a folder; give folders of photographs or videos")
        files += sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes)
    return files
