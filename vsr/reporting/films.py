"""Reading several versions of one film in step, all at the size of the largest."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
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

_LETTERS = "ABCDEFGH"
_SAME_SHAPE = 0.02  # aspect ratios this close are one: sizes are rounded to even numbers


@dataclass(frozen=True, slots=True)
class Film:
    """One version of a film: its properties, its name on the page, and a way to read it."""

    info: VideoInfo
    name: str
    open: Callable[[], VideoReader]

    @classmethod
    def of(cls, path: Path) -> "Film":
        """Probe a whole film, which is called by its file name."""
        info = probe(path)
        return cls(info, path.resolve().name, partial(VideoReader, info))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture, as stored."""
        info = self.info
        return (info.height, info.width) if self._is_turned else (info.width, info.height)

    @property
    def pixel_aspect(self) -> Fraction:
        """Width over height of a pixel of the upright picture."""
        aspect = self.info.sample_aspect_ratio
        return 1 / aspect if self._is_turned else aspect

    @property
    def _is_turned(self) -> bool:
        return round(self.info.rotation / 90) % 2 == 1


@dataclass(frozen=True, slots=True)
class Films:
    """Versions of one film, the size (width, height) they are shown at, and their labels.

    `pixel_aspect` is the width of a shown pixel over its height. `insets` are the sizes of the
    films inside the shown picture; what a film of another shape does not fill is black.
    """

    films: tuple[Film, ...]
    size: tuple[int, int]
    pixel_aspect: Fraction
    labels: tuple[str, ...]
    insets: tuple[tuple[int, int], ...]

    @classmethod
    def open(cls, paths: Sequence[Path]) -> "Films":
        """Probe the films and choose their size as `of` does."""
        _check_count(len(paths))
        return cls.of([Film.of(path) for path in paths])

    @classmethod
    def of(cls, films: Sequence[Film]) -> "Films":
        """Choose the size of the largest film for all; the log names those that are changed."""
        _check_count(len(films))
        largest = max(films, key=lambda film: film.size[0] * film.size[1])
        size, aspect = largest.size, _pixel_aspect(largest, films)
        insets = [_inset(film, size, aspect) for film in films]
        for film, inset in zip(films, insets, strict=True):
            _log_change(film, inset, size)
        labels = [f"{letter}  {film.name}" for letter, film in zip(_LETTERS, films, strict=False)]
        return cls(tuple(films), size, aspect, tuple(labels), tuple(insets))

    @property
    def infos(self) -> tuple[VideoInfo, ...]:
        """The properties of the films."""
        return tuple(film.info for film in self.films)

    @property
    def shape(self) -> float:
        """Width over height of the picture as it is shown."""
        return float(self.size[0] * self.pixel_aspect / self.size[1])

    def frames(self) -> Iterator[tuple[int, tuple[Picture, ...]]]:
        """Yield the pts of the first film and one picture of each; InputError if one ends early."""
        with ExitStack() as stack:
            readers = [stack.enter_context(film.open()) for film in self.films]
            for number, frames in enumerate(zip_longest(*readers)):
                yield frames[0].pts if frames[0] else 0, tuple(self._shown(frames, number))

    def canvas_info(self) -> VideoInfo:
        """Return a source for the writer: the times of the first film, in RGB, without streams."""
        return replace(
            self.films[0].info,
            container=IMAGE_FOLDER,
            pix_fmt="rgb24",
            color=ColorTags(matrix=MATRIX_RGB, range=FULL),
            siting=None,
            color_profile=None,
            hdr=HdrMetadata(),
            rotation=0,
            display_matrix=None,
            sample_aspect_ratio=self.pixel_aspect,
            streams=(),
            chapter_count=0,
        )

    def _shown(self, frames: Sequence[Frame | None], number: int) -> Iterator[Picture]:
        for film, frame, inset in zip(self.films, frames, self.insets, strict=True):
            if frame is None:
                longer = next(
                    other.info.path
                    for other, there in zip(self.films, frames, strict=True)
                    if there is not None
                )
                raise InputError(
                    f"{film.info.path} has {number} frames but {longer} has more; compare needs "
                    "versions of one film with the same number of frames"
                )
            picture = _eight_bits(upright(frame.pixels, film.info.rotation))
            yield _centred(resized(picture, inset), self.size)


def resized(picture: Picture, size: tuple[int, int]) -> Picture:
    """Return the picture at a width and height, bicubic where it grows, averaged elsewhere."""
    if picture.shape[1::-1] == size:
        return picture
    grows = size[0] * size[1] > picture.shape[0] * picture.shape[1]
    interpolation = cv2.INTER_CUBIC if grows else cv2.INTER_AREA
    return np.asarray(cv2.resize(picture, size, interpolation=interpolation), np.uint8)


def _check_count(count: int) -> None:
    if not 2 <= count <= len(_LETTERS):
        given = "only one film is given" if count == 1 else f"{count} films are given"
        raise InputError(f"{given}; 2 to {len(_LETTERS)} can be compared")


def _pixel_aspect(film: Film, films: Sequence[Film]) -> Fraction:
    """The film's pixel aspect; pictures have none, and take that of a film of their shape."""
    if not film.info.is_image_folder:
        return film.pixel_aspect
    ratio = Fraction(*film.size)
    alike = (
        other.pixel_aspect
        for other in films
        if not other.info.is_image_folder and _is_close(Fraction(*other.size), ratio)
    )
    return next(alike, Fraction(1))


def _inset(film: Film, size: tuple[int, int], aspect: Fraction) -> tuple[int, int]:
    """The width and height of a film inside the canvas, whose pixels have an aspect."""
    own, canvas = Fraction(*film.size), Fraction(*size)
    if film.info.is_image_folder and _is_close(own, canvas):
        return size
    relative = own * film.pixel_aspect / (canvas * aspect)
    if _is_close(relative, Fraction(1)):
        return size
    width, height = size
    return (width, round(height / relative)) if relative > 1 else (round(width * relative), height)


def _is_close(first: Fraction, second: Fraction) -> bool:
    return abs(first / second - 1) < _SAME_SHAPE


def _log_change(film: Film, inset: tuple[int, int], size: tuple[int, int]) -> None:
    if inset != size:
        _log.warning(
            "%s has another aspect ratio: it is shown with black bars, and frames may not match",
            film.info.path,
        )
    if film.size != inset:
        shown = "enlarged" if film.size[0] * film.size[1] < inset[0] * inset[1] else "resized"
        _log.info(
            "%s has %dx%d pixels and is shown %s to %dx%d by bicubic interpolation",
            *(film.info.path, *film.size, shown, *inset),
        )


def _centred(picture: Picture, size: tuple[int, int]) -> Picture:
    """The picture in the middle of a black one of a width and height."""
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    right, bottom = size[0] - width - left, size[1] - height - top
    return np.pad(picture, ((top, bottom), (left, right), (0, 0)))


def _eight_bits(pixels: Pixels) -> Picture:
    if pixels.itemsize == 1:
        return np.asarray(pixels, np.uint8)
    return np.rint(pixels / 257).astype(np.uint8)
