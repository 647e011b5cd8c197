"""Pictures enlarged without a network; no torch."""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

_KERNELS = {"bicubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}
"""By the names of `vsr.config.INTERPOLATIONS`."""

Picture = UInt8[np.ndarray, "_ _ c"] | Float32[np.ndarray, "_ _ c"]


def interpolated(picture: Picture, size: tuple[int, int], kind: str) -> Picture:
    """Returns a picture `h w c` at a width and height by "bicubic" or "lanczos" interpolation."""
    return np.asarray(cv2.resize(picture, size, interpolation=_KERNELS[kind]), picture.dtype)
