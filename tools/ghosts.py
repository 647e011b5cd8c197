"""Measure how far propagation moves frames away from those of an image network alone.

    python tools/ghosts.py CLIP [CLIP ...] --model realesr-general-x4v3

The ghost figure of a clip: the 99.9th percentile, over all pixels of the first 8 frames, of
|mean of RGB with propagation - without|, in grey levels, of sources reduced to half their size.
Ghosts raise it; so does flicker that is rightly taken out. Suspects tell them apart: the 99th
percentile over the pixels where a small frame differs from a neighbour along the flow by more than
6 grey levels (mean over 3x3 pixels), so that the flow may be wrong there. Flicker: the mean
absolute difference, in grey levels, of a frame and the one before it along the flow, with and
without propagation.
"""

from argparse import ArgumentParser
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

import vsr
from vsr.models.flow_estimators import DisFlow
from vsr.ops.flow import Flows, consistent, warp
from vsr.ops.frame_formats import as_low_res
from vsr.propagation.shares import brightness_difference, mean_difference
from vsr.video.reading.reader import VideoReader

_FRAMES = 8
_PERCENTILE = 99.9
_SUSPECT_LEVELS, _SUSPECT_PERCENTILE = 6.0, 99.0


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
    table = Table("clip", "ghost", "suspects", "flicker", "flicker alone", title=options.model)
    for clip in options.clips:
        frames = first_frames(clip, halve=not options.full_size)
        alone = pipe(frames, propagation_steps=(), output_type="pt").frames
        steady = pipe(frames, propagation=propagation, output_type="pt").frames
        departure = (steady - alone).mean(dim=1).abs()[0] * 127.5
        low_res = as_low_res(frames)
        flows = DisFlow()(low_res)
        figures = (
            float(np.percentile(departure.numpy(), _PERCENTILE)),
            suspects_figure(departure, low_res, flows),
            flicker(steady, flows),
            flicker(alone, flows),
        )
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


def suspects_figure(departure: Tensor, low_res: Tensor, flows: Flows) -> float:
    """The 99th percentile of `departure`, `t h w`, where small frames differ; 0 if nowhere."""
    differing = differences(low_res, flows)[:, None]
    differing = F.interpolate(differing, departure.shape[-2:])[:, 0]
    suspects = departure[differing > _SUSPECT_LEVELS].numpy()
    return float(np.percentile(suspects, _SUSPECT_PERCENTILE)) if suspects.size else 0.0


def differences(low_res: Tensor, flows: Flows) -> Tensor:
    """Larger difference of each frame to its neighbours along the flow, in grey levels, `t h w`."""
    largest = torch.zeros(low_res.shape[2], *low_res.shape[-2:])
    for pair in range(flows.pairs):
        ways = ((pair, pair + 1, flows.forward), (pair + 1, pair, flows.backward))
        for own, neighbour, flow in ways:
            moved = warp(low_res[:, :, neighbour], flow[:, :, pair], padding="border")
            found = mean_difference(brightness_difference(low_res[:, :, own], moved))
            largest[own] = torch.maximum(largest[own], found[0, 0])
    return largest


def flicker(frames: Tensor, flows: Flows) -> float:
    """Mean change of `1 3 t h w` along the flow of the small frames, in grey levels."""
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
