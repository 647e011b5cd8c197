"""Chroma beside luma: the difference of red and blue to luma, in which luma stays what it is."""

import numpy as np
from jaxtyping import Float

from vsr.restoration.images import Image, Luma, luma_of, reduced

Chroma = Float[np.ndarray, "h w 2"]
"""Red and blue minus luma, of ITU-R BT.601, float32."""

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114
_BINS = 32
_COLOURED = 5 / 255
"""Deviation of the chroma among pixels of one luma, from which on a frame has colours."""
_SIDE = 128
"""Longer side of the picture in which this is looked at."""


def chroma_of(image: Image) -> Chroma:
    """Return the chroma of an image."""
    return np.ascontiguousarray(image[..., [0, 2]] - luma_of(image)[..., None])


def coloured(luma: Luma, chroma: Chroma) -> Image:
    """Return the image of that luma and chroma; colours outside [0, 1] are made paler.

    Chroma is scaled towards grey until red, green and blue fit, so that luma is kept exactly.
    """
    red, blue = chroma[..., 0], chroma[..., 1]
    apart = np.stack([red, -(_RED * red + _BLUE * blue) / _GREEN, blue], 2)
    room = np.where(apart > 0, (1 - luma)[..., None], luma[..., None])
    with np.errstate(divide="ignore", invalid="ignore"):
        fitting = np.where(apart == 0, 1, room / np.abs(apart)).min(2, keepdims=True)
    return np.asarray(luma[..., None] + apart * np.clip(fitting, 0, 1), np.float32)


def has_colours(image: Image) -> bool:
    """Return True for an image of several hues; one that is grey or toned has a hue for each luma.

    Chroma is compared on a small picture, where the noise of a codec is averaged out.
    """
    small = reduced(image, _SIDE)
    chroma = chroma_of(small).reshape(-1, 2)
    bins = np.clip(luma_of(small).ravel() * _BINS, 0, _BINS - 1).astype(int)
    count = np.maximum(np.bincount(bins, minlength=_BINS), 1)
    tone = np.stack([np.bincount(bins, c, minlength=_BINS) / count for c in chroma.T], 1)
    return float(np.sqrt(((chroma - tone[bins]) ** 2).mean())) > _COLOURED
