"""Pictures that show differences: crops, maps, profiles, all from RGB frames of one size."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vsr.models.flow_estimators import DisFlow
from vsr.reporting.films import Picture

Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""

_BAR = 28
_GAIN = 4
"""Differences are small: a map shows them this many times larger."""


def labelled(picture: Picture, label: str) -> Picture:
    """Put a dark bar with the label above a picture; letters outside ASCII are shown as `?`."""
    bar = np.full((_BAR, picture.shape[1], 3), 24, np.uint8)
    text = label.encode("ascii", "replace").decode()
    cv2.putText(bar, text, (6, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255,) * 3, 1, cv2.LINE_AA)
    return np.concatenate([bar, picture])


def side_by_side(pictures: Sequence[Picture], labels: Sequence[str]) -> Picture:
    """Return labelled pictures beside each other, with even sides, as 4:2:0 video needs them."""
    row = np.concatenate([labelled(*pair) for pair in zip(pictures, labels, strict=True)], axis=1)
    height, width = row.shape[:2]
    return np.pad(row, ((0, height % 2), (0, width % 2), (0, 0)))


def difference(pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """Return `h w`: the largest mean absolute difference of RGB to the first picture."""
    first = pictures[0].astype(np.float32)
    return np.max([np.abs(other - first).mean(axis=2) for other in pictures[1:]], axis=0)


def difference_map(first: Picture, other: Picture) -> Picture:
    """Return |other - first| times 4 in false colours: dark is equal, yellow is far apart."""
    gray = np.clip(difference([first, other]) * _GAIN, 0, 255).astype(np.uint8)
    return _rgb(cv2.applyColorMap(gray, cv2.COLORMAP_INFERNO))


def flow_maps(before: Sequence[Picture], after: Sequence[Picture]) -> list[Picture]:
    """Return the flow of each film by DIS: hue is direction, brightness length, on one scale."""
    flows = [_flow(*pair) for pair in zip(before, after, strict=True)]
    lengths = [np.hypot(*flow) for flow in flows]
    scale = max(1.0, *(float(np.percentile(length, 99)) for length in lengths))
    return [_flow_colors(*pair, scale) for pair in zip(flows, lengths, strict=True)]


def crops_of_difference(pictures: Sequence[Picture], count: int = 3) -> list[Box]:
    """Return up to `count` boxes, a quarter as wide and high, that differ most, none overlapping.

    The first box is always returned; others only where there is a difference.
    """
    height, width = pictures[0].shape[:2]
    w, h = max(1, width // 4), max(1, height // 4)
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


def cropped(picture: Picture, box: Box) -> Picture:
    """Return the box of a picture at 200 %, each pixel as a square."""
    x, y, w, h = box
    return picture[y : y + h, x : x + w].repeat(2, axis=0).repeat(2, axis=1)


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
