"""The figures of one clip, and what is wrong with it."""

import logging
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np

from vsr.errors import InputError
from vsr.evaluation.alignment import PlacementMeter, ShiftMeter
from vsr.evaluation.color_drift import color_drift
from vsr.evaluation.evalcrafter import EvalCrafterMeter
from vsr.evaluation.fidelity import fidelity
from vsr.evaluation.findings import findings
from vsr.evaluation.image_quality import WITH_TRUTH
from vsr.evaluation.lossless import loss_of
from vsr.evaluation.meters import Figures, FrameMeter, Meter, Moment, Picture
from vsr.evaluation.networks import Networks
from vsr.evaluation.patterns import CheckerMeter, GridMeter, TileMeter
from vsr.evaluation.record import ClipScore
from vsr.evaluation.sets import Pair
from vsr.evaluation.temporal import FlickerMeter, GhostMeter, TemporalMeter, WarpMeter
from vsr.video.pixels import as_uint8
from vsr.video.probe import VideoInfo, probe
from vsr.video.reading.reader import VideoReader

_log = logging.getLogger(__name__)

EVERY = 4
"""Default distance of the frames that perceptual networks see."""

SMALLEST = 64
"""Pixels: the networks cannot look at less."""

PIXEL_FIGURES = (
    *("psnr_y", "ssim_y", "detail", "color", "ewarp_gt", "tdiff", "clip_border", "flicker"),
    *("ghost", "tile_border", "shift_x", "shift_y", "misplaced_frames"),
)
"""Figures that need a ground truth and no network."""

NEEDS = {
    "clip_border": "four frames whose motion can be followed",
    "ewarp": "two frames whose motion can be followed",
    "ewarp_gt": "two frames whose motion can be followed",
    "tdiff": "two frames whose motion can be followed",
    "ewarp_evalcrafter": "two frames",
    "flicker": "two frames",
    "ghost": "two frames between which the truth changes",
    "checker": "contrast, and 64 pixels each way",
    "shift_x": "frames with texture that resemble the truth",
    "shift_y": "frames with texture that resemble the truth",
}
"""Properties that a clip needs for the figures that not every clip has."""


def evaluate_clip(pair: Pair, networks: Networks, *, every: int = EVERY) -> ClipScore:
    """Measure one clip. Raises InputError for frames below 64 pixels and damaged files.

    A truth of another size is not compared: the figures that need it are missing.
    """
    info = probe(pair.output)
    truth = None if pair.truth is None else probe(pair.truth)
    notes: list[str] = []
    if loss := loss_of(info):
        notes.append(f"lossy output: {loss}")
    difference = _size_difference(info, truth)
    missing: dict[str, str] = {}
    if difference:
        notes.append(f"other size: {difference}")
        missing = dict.fromkeys(truth_figures(networks), difference)
        pair, truth = Pair(pair.name, pair.output), None
    placement = PlacementMeter()
    meters = _meters(networks, every, placement if truth else None)
    frames, counts = _measure(info, truth, meters)
    figures = mean_of(frames)
    for meter in meters:
        figures |= meter.total()
    figures |= {"frames": float(counts[0]), "lossy": float(loss is not None)}
    if truth is not None:
        figures["frames_lost"] = float(counts[1] - counts[0])
    if truth is not None and counts[0] != counts[1]:
        notes.append(f"frame counts: {counts[0]} in the output, {counts[1]} in the truth")
    notes += findings(figures, first_misplaced=placement.first_misplaced)
    _log.info("%s: %d frames measured", pair.name, counts[0])
    missing = _unmeasured(figures, pair, networks) | missing
    return ClipScore(pair.name, figures, frames, tuple(notes), missing)


def mean_of(rows: Sequence[Figures]) -> Figures:
    """Return the mean of each figure over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}


def truth_figures(networks: Networks) -> tuple[str, ...]:
    """Return the figures that need a ground truth, apart from those missing anyhow."""
    names = (*PIXEL_FIGURES, "frames_lost", "stlpips", "robust", "effnet", *WITH_TRUTH)
    return tuple(name for name in names if name not in networks.missing)


def _unmeasured(figures: Figures, pair: Pair, networks: Networks) -> dict[str, str]:
    """The figures that this clip is too short, too still or too flat for, with the reason."""
    names = set(NEEDS) if pair.truth is not None else {"ewarp", "checker", "ewarp_evalcrafter"}
    if networks.flow is None:
        names.discard("ewarp_evalcrafter")
    return {
        name: f"the clip lacks {need}"
        for name, need in NEEDS.items()
        if name in names and name not in figures
    }


def _meters(networks: Networks, every: int, placement: PlacementMeter | None) -> tuple[Meter, ...]:
    """The meters of one clip, with a ground truth if there is a placement to find."""
    meters: list[Meter] = []
    measures = networks.without_truth
    if placement is not None:
        measures = (*networks.with_truth, *measures)
        meters += [FrameMeter(fidelity)]
    meters += [FrameMeter(measure, every=every) for measure in measures]
    meters += [GridMeter(), CheckerMeter()]
    if networks.flow is not None:
        meters += [EvalCrafterMeter(networks.flow.estimator())]
    if placement is None:
        return (*meters, WarpMeter())
    meters += [TemporalMeter(), FlickerMeter(), GhostMeter(), TileMeter(), FrameMeter(color_drift)]
    return (*meters, ShiftMeter(every=every), placement)


def _measure(
    info: VideoInfo, truth_info: VideoInfo | None, meters: Sequence[Meter]
) -> tuple[tuple[Figures, ...], tuple[int, int]]:
    """The figures of the frames that both have, and how many frames each has."""
    rows: list[Figures] = []
    output_count = truth_count = 0
    truths = pictures(truth_info) if truth_info is not None else ()
    for output, truth in zip_longest(pictures(info), truths):
        output_count += output is not None
        truth_count += truth is not None
        if output is None or (truth is None and truth_info is not None):
            continue
        moment = Moment(len(rows), output, truth)
        row: Figures = {}
        for meter in meters:
            row |= meter.add(moment)
        rows.append(row)
    return tuple(rows), (output_count, truth_count)


def pictures(source: Path | VideoInfo) -> Iterator[Picture]:
    """Yield the frames in 8 bits. Raises InputError after the last if the file is damaged."""
    with VideoReader(source) as reader:
        for frame in reader:
            yield as_uint8(frame.pixels)
        reader.check_damage()


def _size_difference(info: VideoInfo, truth: VideoInfo | None) -> str | None:
    """Say that output and truth differ in size; InputError if they are too small to measure."""
    size = (info.width, info.height)
    if min(size) < SMALLEST:
        raise InputError(f"{info.path} is {size[0]}x{size[1]}; {SMALLEST} pixels are needed")
    if truth is None or size == (truth.width, truth.height):
        return None
    return f"the output is {size[0]}x{size[1]}, the truth {truth.width}x{truth.height}"
