"""Photographs that are decoded once and kept in memory."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vsr.errors import InputError
from vsr.training.data.motion import Photo, detail_map

_log = logging.getLogger(__name__)

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})


class PhotoLibrary:
    """Photographs by number; those used last stay decoded in memory.

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
        """The photograph; raises InputError if it cannot be decoded."""
        path = self.paths[number]
        if path in self.skipped:
            raise InputError(self.skipped[path])
        if path not in self._photos:
            self._keep(path, self._decode(path))
        self._photos.move_to_end(path)
        return self._photos[path]

    def preload(self) -> None:
        """Decode photographs until the memory is full."""
        for number in range(len(self)):
            if self.held >= self._memory:
                return
            if self.paths[number] not in self.skipped:
                try:
                    self[number]
                except InputError:
                    continue  # noted in `skipped`, with a line in the log

    def __getstate__(self) -> dict[str, Any]:
        """The state without pixels: a spawned process decodes its own."""
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
