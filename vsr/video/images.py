"""Folders of pictures as videos: their order, their size, their pixels."""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vsr.errors import InputError, OutputError

IMAGE_RATE = Fraction(25)
"""Frames per second of a folder of pictures, which says none itself."""
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def list_images(folder: Path) -> tuple[Path, ...]:
    """The pictures of a folder in natural order (`2.png` before `10.png`); InputError if none."""
    images = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    ]
    if not images:
        raise InputError(
            f"{folder} is a folder without images; it should hold {', '.join(IMAGE_SUFFIXES)}"
        )
    return tuple(sorted(images, key=_natural_key))


def read_image(path: Path) -> NDArray[np.uint8]:
    """The picture as RGB `h w 3`, upright, its alpha channel dropped."""
    try:
        pixels = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
    except (OSError, cv2.error) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if pixels is None:
        raise InputError(f"{path} is not a picture that can be read, or it is damaged")
    return np.asarray(pixels, dtype=np.uint8)


def read_images(paths: tuple[Path, ...]) -> Iterator[NDArray[np.uint8]]:
    """The pictures one after the other; InputError where one has another size than the first."""
    shape = None
    for path in paths:
        pixels = read_image(path)
        shape = shape or pixels.shape
        if pixels.shape != shape:
            raise InputError(
                f"{path} has {pixels.shape[1]}x{pixels.shape[0]} pixels but {paths[0].name} has "
                f"{shape[1]}x{shape[0]}; all images of a folder must have the same size"
            )
        yield pixels


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write RGB `h w 3` as a PNG file."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    try:
        encoded.tofile(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def _natural_key(path: Path) -> tuple[tuple[int, int, str], ...]:
    parts = re.split(r"(\d+)", path.name.lower())
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)
