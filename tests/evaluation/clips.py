"""A small synthetic clip, the same on every machine, and ways to damage it."""

import numpy as np
from numpy.typing import NDArray

from vsr.evaluation.meters import Figures, Meter, Moment

HEIGHT, WIDTH, FRAMES = 96, 128, 5

Clip = list[NDArray[np.uint8]]


def truth_clip(frames: int = FRAMES) -> Clip:
    """A texture of integers that moves to the right by two pixels a frame."""
    rows, columns = np.mgrid[:HEIGHT, : WIDTH + 2 * frames].astype(np.int64)
    noise = (rows // 3 * 7919 + columns // 3 * 104729 + rows * columns // 9) % 61
    ramp = (rows * 2 + columns) % 160
    field = np.stack([ramp + noise, ramp // 2 + noise + 40, 200 - ramp + noise // 2], axis=-1)
    return [
        field[:, 2 * (frames - t) : 2 * (frames - t) + WIDTH].astype(np.uint8)
        for t in range(frames)
    ]


def coarse_clip(truth: Clip) -> Clip:
    """The clip as an x4 enlargement without any filter would show it, in integers."""
    return [np.repeat(np.repeat(one[::4, ::4], 4, axis=0), 4, axis=1) for one in truth]


def changed(truth: Clip, delta: NDArray[np.float64] | float) -> Clip:
    """The clip with `delta` levels added to every frame."""
    return [np.clip(one + delta, 0, 255).astype(np.uint8) for one in truth]


def figures_of(meter: Meter, outputs: Clip, truths: Clip) -> Figures:
    """The clip's figures: means over its frames, and totals."""
    rows = [
        meter.add(Moment(number, output, truth))
        for number, (output, truth) in enumerate(zip(outputs, truths, strict=False))
    ]
    names = {name for row in rows for name in row}
    means = {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}
    return means | meter.total()
