"""Coloured pictures of single frames of a film: found by number or time, checked, and read."""

import logging
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool

from vsr.errors import InputError
from vsr.restoration.chroma import Chroma, chroma_of, has_colours
from vsr.restoration.images import Image, Luma, as_image, luma_of
from vsr.video.images import read_image
from vsr.video.key_pictures import KeyPictures
from vsr.video.pixels import Pixels
from vsr.video.reading.reader import Frame

_log = logging.getLogger(__name__)

_CLEAR = 0.3
"""Response of the phase correlation from which on a shift is believed."""
_LEAST_SHIFT, _LARGEST_SHIFT = 0.25, 8.0
"""In pixels."""
_GREY = 1 / 255
"""Mean chroma below which a picture has no colours."""


class ColourReferences:
    """The coloured pictures of a folder, for the frames that they are named by.

    Raises InputError for a folder without any.
    """

    def __init__(self, folder: Path) -> None:
        self.pictures = pictures_in(folder)

    def chroma(self, frame: Frame, number: int, following: Frame | None) -> Chroma | None:
        """Return the chroma of the picture of a frame, at the frame's size; None without one.

        `number` is the frame's in the film, `following` the next one; None for the last one.
        Raises InputError for a frame that has colours itself, and for a picture of another shape.
        """
        path = _picture_of(self.pictures, frame, number, following)
        if path is None:
            return None
        image = as_image(frame.pixels)
        if has_colours(image):
            raise InputError(
                f"frame {number}, of which {path} is a colour reference, has colours of its "
                "own: leave out the repair colour, or move the references of coloured shots away"
            )
        given = as_image(fitting(path, frame.pixels.shape[:2]))
        chroma = chroma_of(registered(given, luma_of(image)))
        if np.abs(chroma).mean() < _GREY:
            _log.warning("%s has no colours: the frames around it stay grey", path)
        return chroma


def pictures_in(folder: Path) -> KeyPictures:
    """Return the pictures of a folder. Raises InputError for what is no folder, or holds none."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: give the folder that holds the pictures")
    return KeyPictures(folder)


def _picture_of(
    pictures: KeyPictures, frame: Frame, number: int, following: Frame | None
) -> Path | None:
    end = None if following is None else float(following.seconds)
    return pictures.of(number, float(frame.seconds), end)


def fitting(path: Path, size: tuple[int, ...]) -> Pixels:
    """Return a picture at the size of a film's frames (height, width).

    Raises InputError if its shape is another one.
    """
    pixels = read_image(path)
    check_shape(path, pixels.shape[:2], size)
    if pixels.shape[:2] == size:
        return pixels
    smaller = pixels.shape[0] > size[0]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    resized = cv2.resize(pixels, size[::-1], interpolation=method)
    return np.asarray(resized, np.uint8 if pixels.itemsize == 1 else np.uint16)


def registered(picture: Image, luma: Luma) -> Image:
    """Return a picture moved onto the frame of that luma, if it is off by a few pixels.

    Pictures are often made of the film before its weave was taken out. Phase correlation (Kuglin &
    Hines 1975) finds the shift whatever the brightness; what is not clear, or large, is left.
    """
    h, w = luma.shape
    window = cv2.createHanningWindow((w, h), cv2.CV_32F)
    (x, y), clear = cv2.phaseCorrelate(luma, luma_of(picture), window)
    if clear < _CLEAR or not _LEAST_SHIFT < np.hypot(x, y) < _LARGEST_SHIFT:
        return picture
    back = np.array([[1, 0, x], [0, 1, y]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(picture, back, (w, h), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def check_shape(path: Path, found: tuple[int, ...], film: tuple[int, ...]) -> None:
    """Raise InputError unless a picture has the film's shape (height, width), to a pixel."""
    if abs(found[0] * film[1] - found[1] * film[0]) > max(found[0], found[1], *film):
        raise InputError(
            f"{path} has {found[1]}x{found[0]} pixels, another shape than the film's "
            f"{film[1]}x{film[0]}: crop or scale it to that shape"
        )


class HoleMasks:
    """The masks of a folder, white where a frame is lost, for the frames they are named by.

    Raises InputError for a folder without any.
    """

    def __init__(self, folder: Path) -> None:
        self.pictures = pictures_in(folder)

    def mask(
        self, frame: Frame, number: int, following: Frame | None
    ) -> Bool[np.ndarray, "h w"] | None:
        """Return the lost places of a frame; None without a mask.

        `number` is the frame's in the film, `following` the next one; None for the last one.
        Raises InputError for a mask of another shape.
        """
        path = _picture_of(self.pictures, frame, number, following)
        if path is None:
            return None
        return luma_of(as_image(fitting(path, frame.pixels.shape[:2]))) > 0.5
