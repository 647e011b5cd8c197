"""Conversions of frames for the repairs, and sampling along motion: NumPy and OpenCV alone."""

import cv2
import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

from vsr.video.pixels import Pixels

Image = Float[np.ndarray, "h w 3"]
"""RGB in [0, 1], float32."""
Luma = Float[np.ndarray, "h w"]
"""Luma of ITU-R BT.601 in [0, 1], float32."""

_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)


def as_image(pixels: Pixels) -> Image:
    """Return pixels of 8 or 16 bits as floats in [0, 1]."""
    return pixels.astype(np.float32) * np.float32(1 / np.iinfo(pixels.dtype).max)


def as_pixels(image: Image, like: Pixels) -> Pixels:
    """Return floats in [0, 1] as pixels of the same depth as `like`."""
    white = np.iinfo(like.dtype).max
    return np.rint(np.clip(image, 0, 1) * np.float32(white)).astype(like.dtype)


def luma_of(image: Image) -> Luma:
    """Return the luma of an image."""
    return np.asarray(cv2.transform(image, _LUMA), np.float32)


def as_bytes(values: Float[np.ndarray, "*n"]) -> NDArray[np.uint8]:
    """Return values in [0, 1] as bytes, as OpenCV's feature tracking and flow need luma."""
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def reduced(image: Shaped[np.ndarray, "h w *c"], longest: int) -> Shaped[np.ndarray, "h2 w2 *c"]:
    """Return the image by areas, with its longer side at most `longest` pixels."""
    h, w = image.shape[:2]
    share = longest / max(h, w)
    if share >= 1:
        return image
    size = (max(1, round(w * share)), max(1, round(h * share)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), image.dtype)


def sampled(
    image: NDArray[np.float32],
    flow: Float[np.ndarray, "h w 2"],
    *,
    interpolation: int = cv2.INTER_LINEAR,
    border: int = cv2.BORDER_REPLICATE,
) -> NDArray[np.float32]:
    """Return `image(p + flow(p))`; beyond the border is the border's value, unless told else."""
    h, w = flow.shape[:2]
    columns, rows = np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32)[:, None]
    return np.asarray(
        cv2.remap(
            image, flow[..., 0] + columns, flow[..., 1] + rows, interpolation, borderMode=border
        ),
        np.float32,
    )  # fmt: skip
