"""Small scenes for the repairs: a soft picture that stands or pans, and things that move."""

from fractions import Fraction

import cv2
import numpy as np

from vsr.restoration.plan import RepairPlan
from vsr.restoration.stage import Restorer
from vsr.video.reading.reader import Frame

HEIGHT, WIDTH = 96, 144


def picture(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A picture with structure of all sizes, between 0.2 and 0.8."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for size in (1.2, 4.0, 16.0):
        layer = cv2.GaussianBlur(
            rng.standard_normal((height, width)).astype(np.float32), (0, 0), size
        )
        total += (layer / layer.std())[..., None]
    return 0.5 + 0.3 * np.tanh(total / 3)


def still(frames: int, seed: int = 0) -> np.ndarray:
    """A scene without motion."""
    return np.repeat(picture(seed)[None], frames, 0)


def pan(frames: int, speed: float = 1.5, seed: int = 0) -> np.ndarray:
    """A camera that moves to the right by `speed` pixels a frame."""
    wide = picture(seed, HEIGHT, WIDTH + int(abs(speed) * frames) + 8)
    moves = [np.float32([[1, 0, -speed * i], [0, 1, 0]]) for i in range(frames)]
    shown = [cv2.warpAffine(wide, m, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC) for m in moves]
    return np.clip(np.stack(shown), 0, 1)


def repaired(clip: np.ndarray, **strengths: float) -> np.ndarray:
    """The clip through the stage, as one shot of 16-bit frames."""
    pixels = np.rint(np.clip(clip, 0, 1) * 65535).astype(np.uint16)
    marked = ((Frame(one, i, Fraction(1, 25)), i == 0) for i, one in enumerate(pixels))
    found = [frame.pixels for frame, _ in Restorer(RepairPlan(**strengths)).frames(marked)]
    return np.stack(found).astype(np.float32) / 65535
