"""The single steps of a degradation: float32 frames `t h w 3` in [0, 1] in, the same out."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float

from vsr.video.recompress import recompress

Frames = Float[np.ndarray, "t h w 3"]
Resampling = Literal["area", "antialiased", "bilinear", "bicubic"]

_INTERPOLATION = {
    "area": cv2.INTER_AREA,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
}


def blur(frames: Frames, kernels: Sequence[Float[np.ndarray, "_ _"]]) -> Frames:
    """Filter each frame with its own kernel; the border is mirrored."""
    return np.stack(
        [
            cv2.filter2D(frame, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
            for frame, kernel in zip(frames, kernels, strict=True)
        ]
    )


def gaussian_blur(frames: Frames, sigmas: Float[np.ndarray, "t"]) -> Frames:
    """Blur each frame with a round Gaussian of its own sigma: a separable `blur`."""
    return np.stack(
        [
            cv2.GaussianBlur(frame, (0, 0), max(float(sigma), 1e-3))
            for frame, sigma in zip(frames, sigmas, strict=True)
        ]
    )


def resize(
    frames: Frames, size: tuple[int, int], *, resampling: Resampling
) -> Float[np.ndarray, "t new_h new_w 3"]:
    """Resize to `size` (h, w), with the corners of the frames aligned, not the pixel centres.

    `bilinear` and `bicubic` alias when they reduce; `area` and `antialiased` (a bicubic kernel
    as wide as the reduction) do not.
    """
    if frames.shape[1:3] == size:
        return frames
    if resampling == "antialiased":
        rows = _cubic_weights(frames.shape[1], size[0])
        columns = _cubic_weights(frames.shape[2], size[1])
        return _separable(frames, rows, columns)
    dsize = (size[1], size[0])
    interpolation = _INTERPOLATION[resampling]
    return np.stack([cv2.resize(frame, dsize, interpolation=interpolation) for frame in frames])


def add_noise(
    frames: Frames,
    sigmas: Float[np.ndarray, "t"],
    *,
    grey: bool,
    shot: bool,
    rng: np.random.Generator,
) -> Frames:
    """Add white noise with one sigma per frame: the same for R, G and B, or independent.

    Shot noise is Poisson noise in its Gaussian limit: its variance grows with the light, and
    `sigmas` is its strength at mid-grey.
    """
    channels = 1 if grey else 3
    noise = rng.standard_normal((*frames.shape[:3], channels), dtype=np.float32)
    noise *= sigmas.astype(np.float32)[:, None, None, None]
    if shot:
        light = frames.mean(-1, keepdims=True) if grey else frames
        noise = noise * np.sqrt(2 * np.clip(light, 0, 1))
    return frames + noise


def jpeg(frames: Frames, qualities: Float[np.ndarray, "t"]) -> Frames:
    """Compress each frame as JPEG (4:2:0) at its own quality, 1 to 100."""
    decoded = [
        _jpeg_frame(frame, int(np.clip(quality, 1, 100)))
        for frame, quality in zip(to_uint8(frames), qualities, strict=True)
    ]
    return np.stack(decoded).astype(np.float32) / 255


def video_codec(frames: Frames, *, codec: str, options: dict[str, str]) -> Frames:
    """Encode and decode the clip with a real codec (`vsr.video.recompress.recompress`)."""
    return recompress(to_uint8(frames), codec=codec, options=options).astype(np.float32) / 255


def to_uint8(frames: Frames) -> np.ndarray:
    """Round [0, 1] to 0 .. 255, with clipping."""
    return np.rint(np.clip(frames, 0, 1) * 255).astype(np.uint8)


def _jpeg_frame(frame: np.ndarray, quality: int) -> np.ndarray:
    ok, data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok, "JPEG encodes every uint8 frame"
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None, "what was just encoded can be decoded"
    return decoded[..., ::-1]


def _separable(
    frames: Frames, rows: np.ndarray, columns: np.ndarray
) -> Float[np.ndarray, "t new_h new_w 3"]:
    t, _, w, c = frames.shape
    tall = rows @ frames.reshape(t, -1, w * c)
    return columns @ tall.reshape(t, len(rows), w, c)


@lru_cache(maxsize=64)
def _cubic_weights(source: int, target: int) -> Float[np.ndarray, "target source"]:
    """Return weights: row i has those of the source pixels for target pixel i (Keys, a = -0.5)."""
    scale = source / target
    centres = (np.arange(target)[:, None] + 0.5) * scale - 0.5
    x = np.abs(np.arange(source)[None] - centres) / max(scale, 1.0)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
