"""Folders of pictures as videos: their order, their size, their pixels."""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from vsr.errors import InputError
from vsr.video.pixels import Pixels
from vsr.video.suffixes import IMAGE_SUFFIXES

IMAGE_RATE = Fraction(25)
"""Frames per second of a folder of pictures, which says none itself."""


def list_images(folder: Path) -> tuple[Path, ...]:
    """The pictures of a folder in natural order (`2.png` before `10.png`); InputError if none."""
    images = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    ]
    for path in images:
        if not path.is_file():
            raise InputError(f"{path} is not a file (a folder, pipe or device): move it away")
    if not images:
        raise InputError(
            f"{folder} is a folder without images; it should hold {', '.join(IMAGE_SUFFIXES)}"
        )
    return tuple(sorted(images, key=natural_key))


def read_image(path: Path) -> Pixels:
    """The picture as RGB `h w 3`, upright, its alpha channel dropped; uint16 if it has 16 bits."""
    try:
        return decode_image(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} {error}") from error
    except (OSError, cv2.error) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def decode_image(content: bytes) -> Pixels:
    """The picture in the content of a file, as `read_image`; ValueError if there is none."""
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None
    if pixels is None:
        raise ValueError("is not a picture that can be read, or it is damaged")
    if pixels.dtype == np.uint16:
        return np.asarray(pixels, np.uint16)
    if pixels.dtype != np.uint8:
        raise ValueError(f"has {pixels.dtype} pixels; those of 8 and 16 bits can be read")
    return np.asarray(pixels, np.uint8)


def read_images(paths: tuple[Path, ...]) -> Iterator[Pixels]:
    """The pictures one after the other; InputError where one is not of the first one's form."""
    form = None
    for path in paths:
        pixels = read_image(path)
        found = f"{pixels.shape[1]}x{pixels.shape[0]} pixels of {8 * pixels.itemsize} bits"
        form = form or found
        if found != form:
            raise InputError(
                f"{path} has {found} but {paths[0].name} has {form}; all images of a folder must "
                "have the same size and depth"
            )
        yield pixels


def upright(pixels: Pixels, rotation: int) -> Pixels:
    """RGB `h w 3` turned counter-clockwise by the right angles in `rotation` degrees."""
    return np.ascontiguousarray(np.rot90(pixels, round(rotation / 90)))


def encode_png(pixels: Pixels) -> bytes:
    """The content of a PNG file with RGB `h w 3` in as many bits."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return encoded.tobytes()


def natural_key(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Return the key that sorts `2.png` before `10.png`."""
    parts = re.split(r"(\d+)", path.name.lower())
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)
