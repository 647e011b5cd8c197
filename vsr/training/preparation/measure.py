"""Measures of a few frames: motion, sharpness, black bars, burnt-in text, a perceptual hash.

Frames are RGB, uint8 `t h w 3`, of one size; pairs follow each other in the film.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from vsr.ops.dis import DenseSearch
from vsr.training.data.clip_row import Bars

Picture = UInt8[np.ndarray, "h w 3"]
Grey = UInt8[np.ndarray, "h w"]

_FLOW_SIDE = 256
_BLOCK = 64
_BLACK = 24
"""Luma of 255 below which a bar is black: noise and compression lift it above 16."""
_FLAT = 6
_SOFT_EDGE = 2
"""Rows next to a bar into which it bleeds; they are counted with it."""
_TEXT_HEIGHT = 360
_TEXT_CONTRAST = 150
"""Burnt-in text is made to be read on anything: its edges are nearly as strong as edges can be."""
_HASH_SIDE = 8


def motion(pairs: Sequence[tuple[Picture, Picture]]) -> float:
    """Mean length of the flow (DIS) in per mille of the longer side, over pairs of frames.

    The pairs are reduced to 256 pixels, where DIS resolves about 1 per mille.
    """
    search = DenseSearch("fast")
    lengths: list[float] = []
    for pair in pairs:
        first, second = (_reduced(_luma(frame), _FLOW_SIDE) for frame in pair)
        flow = search(first, second, np.zeros((*first.shape, 2), np.float32))
        lengths.append(float(np.hypot(flow[..., 0], flow[..., 1]).mean()) / max(first.shape))
    return 1000 * float(np.mean(lengths))


def sharpness(frame: Picture) -> float:
    """Sharpness of the sharpest parts: the 90th percentile, over blocks of 64 pixels, of the
    standard deviation of the Laplacian, in grey levels. A blurred background does not lower it."""
    laplacian = cv2.Laplacian(_luma(frame), cv2.CV_32F)
    h, w = (max(1, side // _BLOCK) for side in laplacian.shape)
    means = cv2.resize(laplacian, (w, h), interpolation=cv2.INTER_AREA)
    squares = cv2.resize(laplacian**2, (w, h), interpolation=cv2.INTER_AREA)
    return float(np.percentile(np.sqrt(np.maximum(squares - means**2, 0)), 90))


def black_bars(frames: Sequence[Picture]) -> Bars:
    """Rows and columns from each side that are black and flat in all frames.

    Flat: 98 of 100 pixels within 6 levels below 24. Bars come in pairs: one that has none of half
    its size opposite is a dark sky, and none. Frames that are black all over have no bars.
    """
    brightest = np.max([_luma(frame) for frame in frames], axis=0)
    rows = _lit(brightest)
    if not rows.any():
        return (0, 0, 0, 0)
    top, bottom = _pair_of_ends(rows)
    left, right = _pair_of_ends(_lit(brightest[top : len(rows) - bottom].T))
    return (top, bottom, left, right)


def text_share(frames: Sequence[Picture]) -> float:
    """The share of the area under what looks like lines of burnt-in text.

    These are rows of dense, very strong edges that stay in all frames: twice as wide as high at
    least, neither very small nor very large. Cheap, and it misses much: of two lines of white
    subtitles drawn on photographs it found 65 %, and nothing on any of them without.
    """
    scale = _TEXT_HEIGHT / min(frames[0].shape[:2])
    edges = np.min([_edges(frame, scale) for frame in frames], axis=0)
    strong = (edges > _TEXT_CONTRAST).astype(np.uint8)
    joined = cv2.morphologyEx(strong, cv2.MORPH_CLOSE, np.ones((3, 13), np.uint8))
    joined = cv2.morphologyEx(joined, cv2.MORPH_OPEN, np.ones((5, 13), np.uint8))
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(joined, connectivity=4)
    del labels
    area = 0
    for x, y, w, h, filled in boxes[1:]:
        letters = strong[y : y + h, x : x + w]
        strokes = np.abs(np.diff(letters.astype(np.int8), axis=1)).sum() / (2 * h)
        flat_line = 8 <= h <= _TEXT_HEIGHT // 8 and w >= 2 * h and filled >= 0.6 * w * h
        if flat_line and strokes >= 0.6 * w / h and letters.mean() > 0.35:
            area += int(w * h)
    return area / edges.size


def perceptual_hash(frame: Picture) -> str:
    """64 bits that change little where the picture does: signs of the low frequencies of its
    luma at 32x32, against their median (Zauner 2010, pHash), as 16 hexadecimal digits."""
    small = cv2.resize(_luma(frame), (32, 32), interpolation=cv2.INTER_AREA)
    low = cv2.dct(small.astype(np.float32))[:_HASH_SIDE, :_HASH_SIDE]
    return np.packbits(low > np.median(low)).tobytes().hex()


def _lit(luma: np.ndarray) -> np.ndarray:
    """Mask of the rows outside bars."""
    low, high = np.percentile(luma, (1, 99), axis=1)
    return (high >= _BLACK) | (high - low > _FLAT)


def _pair_of_ends(lit: np.ndarray) -> tuple[int, int]:
    first, last = int(lit.argmax()), int(lit[::-1].argmax())
    if not 0 < max(first, last) <= 2 * min(first, last):
        return (0, 0)
    inside = len(lit) - first - last
    return (first + _SOFT_EDGE, last + _SOFT_EDGE) if inside > 2 * _SOFT_EDGE else (first, last)


def _edges(frame: Picture, scale: float) -> Float[np.ndarray, "new_h new_w"]:
    h, w = (max(1, round(side * scale)) for side in frame.shape[:2])
    small = cv2.resize(_luma(frame), (w, h), interpolation=cv2.INTER_AREA)
    return cv2.morphologyEx(small, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).astype(np.float32)


def _reduced(luma: Grey, side: int) -> UInt8[np.ndarray, "new_h new_w"]:
    scale = min(1.0, side / max(luma.shape))
    h, w = (max(32, round(length * scale)) for length in luma.shape)  # DIS needs 32 pixels
    return np.asarray(cv2.resize(luma, (w, h), interpolation=cv2.INTER_AREA), np.uint8)


def _luma(frame: Picture) -> Grey:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
