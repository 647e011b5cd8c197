"""Pictures that show differences: crops and maps, all from RGB frames of one size."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vsr.models.flow_estimators import DisFlow
from vsr.reporting.films import Picture

Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""

_GAIN = 4
"""Differences are small: a map shows them this many times larger."""

_WIDEST_CROP = 480
"""Pixels: a crop of a large film would show no pixels otherwise."""


def difference(pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """Return `h w`: the largest mean absolute difference of RGB to the first picture."""
    first = pictures[0].astype(np.float32)
    return np.max([np.abs(other - first).mean(axis=2) for other in pictures[1:]], axis=0)


def difference_map(first: Picture, other: Picture) -> Picture:
    """Return |other - first| times 4 in false colours: dark is equal, yellow is far apart."""
    gray = np.clip(difference([first, other]) * _GAIN, 0, 255).astype(np.uint8)
    return _rgb(cv2.applyColorMap(gray, cv2.COLORMAP_INFERNO))


def flow_maps(before: Sequence[Picture], after: Sequence[Picture]) -> tuple[list[Picture], float]:
    """Return the flow of each film by DIS, and the length in pixels that is shown brightest.

    Hue is direction and brightness length, on one scale for all films.
    """
    flows = [_flow(*pair) for pair in zip(before, after, strict=True)]
    lengths = [np.hypot(*flow) for flow in flows]
    scale = max(1.0, *(float(np.percentile(length, 99)) for length in lengths))
    return [_flow_colors(*pair, scale) for pair in zip(flows, lengths, strict=True)], scale


def crops_of_difference(
    pictures: Sequence[Picture], count: int = 3, *, size: tuple[int, int] | None = None
) -> list[Box]:
    """Return up to `count` boxes that differ most, none overlapping.

    `size` is their width and height (None: a quarter of the frame's, at most 480 pixels wide). The
    first box is always returned; others only where there is a difference.
    """
    w, h = size or _crop_size(pictures[0])
    sums = cv2.integral(difference(pictures))
    score = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
    boxes: list[Box] = []
    for _ in range(count):
        y, x = (int(place) for place in np.unravel_index(np.argmax(score), score.shape))
        if boxes and score[y, x] <= 0:
            break
        boxes.append((x, y, w, h))
        score[max(0, y - h + 1) : y + h, max(0, x - w + 1) : x + w] = -1
    return boxes


def cropped(picture: Picture, box: Box, *, zoom: int = 2) -> Picture:
    """Return the box of a picture enlarged `zoom` times, each pixel as a square."""
    x, y, w, h = box
    return picture[y : y + h, x : x + w].repeat(zoom, axis=0).repeat(zoom, axis=1)


def _crop_size(picture: Picture) -> tuple[int, int]:
    height, width = picture.shape[:2]
    w = max(1, min(width // 4, _WIDEST_CROP))
    return w, max(1, round(w * height / width))


def _flow(before: Picture, after: Picture) -> NDArray[np.float32]:
    pair = torch.from_numpy(np.stack([before, after])).permute(3, 0, 1, 2)[None]
    return DisFlow()(pair / 127.5 - 1).forward.reshape(2, *before.shape[:2]).numpy()


def _flow_colors(flow: NDArray[np.float32], length: NDArray[np.float32], scale: float) -> Picture:
    angle = np.arctan2(flow[1], flow[0]) % (2 * np.pi)
    value = np.clip(length / scale, 0, 1) * 255
    hsv = np.stack([angle * 90 / np.pi, np.full_like(value, 255), value], axis=2)
    return np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB), np.uint8)


def _rgb(bgr: NDArray[np.generic]) -> Picture:
    return np.ascontiguousarray(np.asarray(bgr, np.uint8)[..., ::-1])
