"""Measure how far propagation moves frames away from those of an image network alone.

    python tools/ghosts.py CLIP [CLIP ...] --model realesr-general-x4v3

The ghost figure of a clip: the 99.9th percentile, over all pixels of the first 8 frames, of
|mean of RGB with propagation - without|, in grey levels, of sources reduced to half their size.
Ghosts raise it; so does flicker that is rightly taken out. Flicker: the mean absolute difference,
in grey levels, of a frame and the one before it along the flow, with and without propagation.
"""

from argparse import ArgumentParser
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import vsr
from vsr.models.flow_estimators import DisFlow
from vsr.ops.flow import Flows, consistent, warp
from vsr.video.reading.reader import VideoReader

_FRAMES = 8
_PERCENTILE = 99.9


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="video files")
    parser.add_argument("--model", default="realesr-general-x4v3", help="image network")
    parser.add_argument("--full-size", action="store_true", help="do not halve the sources")
    parser.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="fields of the propagation config, as gate=8",
    )
    options = parser.parse_args()
    pipe = vsr.load(options.model)
    changes = {key: float(value) for key, value in (pair.split("=") for pair in options.set)}
    propagation = replace(pipe.settings.propagation, **changes)
    table = Table("clip", "ghost", "flicker", "flicker alone", title=options.model)
    for clip in options.clips:
        frames = first_frames(clip, halve=not options.full_size)
        alone = pipe(frames, propagation_steps=(), output_type="pt").frames
        steady = pipe(frames, propagation=propagation, output_type="pt").frames
        figures = (ghost(steady, alone), flicker(steady, frames), flicker(alone, frames))
        table.add_row(clip.name, *(f"{figure:.2f}" for figure in figures))
    Console().print(table)


def first_frames(clip: Path, *, halve: bool) -> np.ndarray:
    """The first 8 frames, `t h w 3`."""
    with VideoReader(clip) as reader:
        frames = [frame.pixels for frame in islice(reader, _FRAMES)]
    if halve:
        height, width = frames[0].shape[:2]
        size = (width // 2, height // 2)
        frames = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]
    return np.stack(frames)


def ghost(steady: Tensor, alone: Tensor) -> float:
    """The ghost figure of frames `1 3 t h w` in [-1, 1]."""
    departure = (steady - alone).mean(dim=1).abs() * 127.5
    return float(np.percentile(departure.numpy(), _PERCENTILE))


def flicker(frames: Tensor, small: np.ndarray) -> float:
    """Mean change of `1 3 t h w` along the flow of the small frames, in grey levels."""
    low_res = torch.from_numpy(small).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    flows: Flows = DisFlow()(low_res)
    changes: list[float] = []
    for pair in range(flows.pairs):
        forward, backward = flows.pair(pair, (frames.shape[-2], frames.shape[-1]))
        valid = consistent(backward, forward, alpha1=0.01, alpha2=0.5)
        moved = warp(frames[:, :, pair], backward, padding="border")
        change = (frames[:, :, pair + 1] - moved).abs().mean(dim=1, keepdim=True) * 127.5
        changes.append(float(change[valid].mean()))
    return sum(changes) / len(changes)


if __name__ == "__main__":
    main()
