"""Folders of pictures as videos: their order, their size, their pixels."""

import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from vsr.errors import InputError
from vsr.video.color import rgb_from_frame, srgb_from_linear, tags_of
from vsr.video.pixels import Pixels
from vsr.video.stills import still_frame
from vsr.video.suffixes import FFMPEG_SUFFIXES, IMAGE_SUFFIXES

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
    """The picture as RGB `h w 3`, upright, its alpha channel dropped; uint16 above 8 bits."""
    if path.suffix.lower() in FFMPEG_SUFFIXES:
        frame = still_frame(path)
        return rgb_from_frame(frame, tags_of(frame).resolved(frame.height, frame.format.name))
    try:
        return decode_image(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} {error}") from error
    except (OSError, cv2.error) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def pixel_format_of(path: Path) -> str:
    """The pixel format of a picture, in FFmpeg's words."""
    if path.suffix.lower() in FFMPEG_SUFFIXES:
        return still_frame(path).format.name
    return "rgb24" if read_image(path).itemsize == 1 else "rgb48le"


def first_image(images: Sequence[Path]) -> tuple[Pixels, str]:
    """The first picture that can be read, and its pixel format; InputError if there is none."""
    errors: list[InputError] = []
    for path in images:
        try:
            return read_image(path), pixel_format_of(path)
        except InputError as error:
            errors.append(error)
    raise errors[0]


def decode_image(content: bytes) -> Pixels:
    """The picture in the content of a file, as `read_image`; ValueError if there is none."""
    # Not IMREAD_COLOR_RGB: with that OpenCV 5.0 reads TIFF files of 16 bits as noise.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    stored = cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None
    if stored is None:
        raise ValueError("is not a picture that can be read, or it is damaged")
    pixels = cv2.cvtColor(stored, cv2.COLOR_BGR2RGB) if stored.ndim == 3 else stored
    if pixels.dtype == np.uint16:
        return np.asarray(pixels, np.uint16)
    if pixels.dtype.kind == "f":
        return srgb_from_linear(np.asarray(pixels, np.float32))
    if pixels.dtype != np.uint8:
        raise ValueError(f"has {pixels.dtype} pixels; 8 and 16 bits and floats can be read")
    return np.asarray(pixels, np.uint8)


def read_images(
    paths: Sequence[Path], note_broken: Callable[[InputError], None]
) -> Iterator[tuple[int, Pixels]]:
    """The pictures with their places in `paths`, but those that `note_broken` accepts as damaged.

    InputError where one is not of the first one's form.
    """
    form, first = "", ""
    for number, path in enumerate(paths):
        try:
            pixels = read_image(path)
        except InputError as error:
            note_broken(error)
            continue
        found = f"{pixels.shape[1]}x{pixels.shape[0]} pixels of {8 * pixels.itemsize} bits"
        if not form:
            form, first = found, path.name
        if found != form:
            raise InputError(
                f"{path} has {found} but {first} has {form}; all images of a folder must have the "
                "same size and depth: move it into a folder of its own"
            )
        yield number, pixels


def upright(pixels: Pixels, rotation: int) -> Pixels:
    """RGB `h w 3` turned counter-clockwise by the right angles in `rotation` degrees."""
    return np.ascontiguousarray(np.rot90(pixels, round(rotation / 90)))


def encode_png(pixels: Pixels) -> bytes:
    """The content of a PNG file with RGB `h w 3` or RGBA `h w 4` in as many bits."""
    return encode_image(pixels, ".png")


def encode_image(pixels: Pixels, suffix: str) -> bytes:
    """The content of a file that OpenCV writes, with RGB `h w 3` or RGBA `h w 4`."""
    order = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    _, encoded = cv2.imencode(suffix, cv2.cvtColor(pixels, order))
    return encoded.tobytes()


def natural_key(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Return the key that sorts `2.png` before `10.png`."""
    parts = re.split(r"(\d+)", path.name.lower())
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)
