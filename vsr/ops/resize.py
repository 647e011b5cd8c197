"""Reduction of finished frames to the size that was asked for."""

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8, UInt16
from torch.nn import functional as F


def reduce_frames(
    frames: UInt8[np.ndarray, "t h w 3"] | UInt16[np.ndarray, "t h w 3"], height: int, width: int
) -> UInt8[np.ndarray, "t height width 3"] | UInt16[np.ndarray, "t height width 3"]:
    """Return `frames` at `height` x `width` by bicubic interpolation, anti-aliased when smaller.

    Anti-aliasing widens the bicubic kernel by the factor of the reduction, so that what the smaller
    frames cannot hold is filtered out and does not flicker.
    """
    if frames.shape[1:3] == (height, width):
        return frames
    deep = frames.dtype == np.uint16  # of which torch interpolates floats alone
    tensor = torch.from_numpy(frames.astype(np.float32) if deep else frames)
    tensor = rearrange(tensor, "t h w c -> t c h w")
    small = F.interpolate(tensor, size=(height, width), mode="bicubic", antialias=True)
    reduced = rearrange(small, "t c h w -> t h w c").numpy()
    if deep:
        reduced = np.rint(reduced).clip(0, 65535)
    return np.ascontiguousarray(reduced, dtype=frames.dtype)
