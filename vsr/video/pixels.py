"""Pixel formats by their names, and pixels of 8 and of 16 bits."""

from typing import Any

import cv2
import numpy as np
from av.video.format import VideoFormat
from numpy.typing import NDArray

Pixels = NDArray[np.unsignedinteger[Any]]
"""RGB `h w 3`: uint8 (white is 255), or uint16 (white is 65535) where the source is deeper."""

_RGB = ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "x2rgb", "x2bgr", "xyz")
_GRAY = ("gray", "ya8", "ya16")


def is_rgb(pix_fmt: str) -> bool:
    """True for pixel formats of RGB or an RGB palette, false for luma and chroma."""
    return pix_fmt.startswith(_RGB)


def is_gray(pix_fmt: str) -> bool:
    """True for pixel formats that hold luma alone, as integers."""
    return pix_fmt.startswith(_GRAY) and depth_of(pix_fmt) <= 16 and "f16" not in pix_fmt


def is_float(pix_fmt: str) -> bool:
    """True for pixel formats of floating-point numbers, which hold linear light."""
    return "f32" in pix_fmt or "f16" in pix_fmt


def has_alpha(pix_fmt: str) -> bool:
    """True for pixel formats with an alpha channel."""
    return any(component.is_alpha for component in VideoFormat(pix_fmt).components)


def depth_of(pix_fmt: str) -> int:
    """Bits of a colour in a pixel format."""
    return max(component.bits for component in VideoFormat(pix_fmt).components)


def chroma_of(pix_fmt: str) -> tuple[int, int]:
    """Columns and rows of luma pixels per chroma sample: (2, 1) is 4:2:2."""
    layout = VideoFormat(pix_fmt)
    return 64 // layout.chroma_width(64), 64 // layout.chroma_height(64)


def as_uint8(pixels: Pixels) -> NDArray[np.uint8]:
    """The pixels in 8 bits, rounded to the nearest: 65535 becomes 255."""
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    return np.asarray((pixels.astype(np.uint32) + 128) // 257, np.uint8)


def as_depth(pixels: Pixels, dtype: type[np.uint8] | type[np.uint16]) -> Pixels:
    """The pixels in 8 or 16 bits."""
    if pixels.dtype == dtype:
        return pixels
    return as_uint8(pixels) if dtype is np.uint8 else pixels.astype(np.uint16) * np.uint16(257)


def scaled(pixels: Pixels, height: int, width: int) -> Pixels:
    """The pixels at another size, by areas where it is smaller and bicubic where it is larger."""
    if pixels.shape[:2] == (height, width):
        return pixels
    smaller = height * width < pixels.shape[0] * pixels.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=method), pixels.dtype)
