"""Reading several versions of one film in step, all at the size of the largest."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vsr.errors import InputError
from vsr.video.color import FULL, MATRIX_RGB, ColorTags
from vsr.video.hdr import HdrMetadata
from vsr.video.images import upright
from vsr.video.pixels import Pixels
from vsr.video.probe import IMAGE_FOLDER, VideoInfo, probe
from vsr.video.reading.reader import Frame, VideoReader

_log = logging.getLogger(__name__)

Picture = NDArray[np.uint8]
"""RGB `h w 3` in 8 bits."""


@dataclass(frozen=True, slots=True)
class Films:
    """Versions of one film, the size (width, height) they are shown at, and their labels."""

    infos: tuple[VideoInfo, ...]
    size: tuple[int, int]
    labels: tuple[str, ...]

    @classmethod
    def open(cls, paths: Sequence[Path]) -> "Films":
        """Probe the films; smaller ones are named in the log, since they are shown enlarged."""
        if not 2 <= len(paths) <= len(_LETTERS):
            raise InputError(f"{len(paths)} films are given; 2 to {len(_LETTERS)} can be compared")
        infos = tuple(probe(path) for path in paths)
        sizes = [_shown_size(info) for info in infos]
        size = max(sizes, key=lambda one: one[0] * one[1])
        for info, (width, height) in zip(infos, sizes, strict=True):
            if (width, height) != size:
                _log.info(
                    "%s has %dx%d pixels and is shown enlarged to %dx%d by bicubic interpolation",
                    *(info.path, width, height, *size),
                )
        labels = zip(_LETTERS, infos, strict=False)
        return cls(infos, size, tuple(f"{letter}  {info.path.name}" for letter, info in labels))

    def frames(self) -> Iterator[tuple[int, tuple[Picture, ...]]]:
        """Yield the pts of the first film and one picture of each; InputError if one ends early."""
        with ExitStack() as stack:
            readers = [stack.enter_context(VideoReader(info)) for info in self.infos]
            for number, frames in enumerate(zip_longest(*readers)):
                yield frames[0].pts if frames[0] else 0, tuple(self._shown(frames, number))

    def canvas_info(self) -> VideoInfo:
        """Return a source for the writer: the times of the first film, in RGB, without streams."""
        return replace(
            self.infos[0],
            container=IMAGE_FOLDER,
            pix_fmt="rgb24",
            color=ColorTags(matrix=MATRIX_RGB, range=FULL),
            hdr=HdrMetadata(),
            rotation=0,
            display_matrix=None,
            streams=(),
            chapter_count=0,
        )

    def _shown(self, frames: Sequence[Frame | None], number: int) -> Iterator[Picture]:
        for info, frame in zip(self.infos, frames, strict=True):
            if frame is None:
                longer = next(
                    other.path
                    for other, there in zip(self.infos, frames, strict=True)
                    if there is not None
                )
                raise InputError(
                    f"{info.path} has {number} frames but {longer} has more; compare needs "
                    "versions of one film with the same number of frames"
                )
            yield self._resized(_eight_bits(upright(frame.pixels, info.rotation)))

    def _resized(self, picture: Picture) -> Picture:
        if picture.shape[1::-1] == self.size:
            return picture
        return np.asarray(cv2.resize(picture, self.size, interpolation=cv2.INTER_CUBIC), np.uint8)


_LETTERS = "ABCDEFGH"


def _shown_size(info: VideoInfo) -> tuple[int, int]:
    turned = round(info.rotation / 90) % 2
    return (info.height, info.width) if turned else (info.width, info.height)


def _eight_bits(pixels: Pixels) -> Picture:
    if pixels.itemsize == 1:
        return np.asarray(pixels, np.uint8)
    return np.rint(pixels / 257).astype(np.uint8)
