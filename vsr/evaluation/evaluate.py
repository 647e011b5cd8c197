"""Evaluates a set of clips: every figure that can be had, and the reason for those that cannot."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np

from vsr.errors import ConfigError, DependencyError, InputError
from vsr.evaluation.alignment import PlacementMeter, ShiftMeter
from vsr.evaluation.color_drift import color_drift
from vsr.evaluation.fidelity import fidelity
from vsr.evaluation.findings import findings
from vsr.evaluation.image_quality import NAMES, WITH_TRUTH, ImageQuality
from vsr.evaluation.lossless import loss_of
from vsr.evaluation.meters import Figures, FrameMeter, Meter, Moment, Picture
from vsr.evaluation.patterns import CheckerMeter, GridMeter, TileMeter
from vsr.evaluation.perceptual import EfficientNetDistance, ShiftTolerantLpips
from vsr.evaluation.sets import Pair, content_hash, find_pairs
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

Measure = Callable[[Moment], Figures]


@dataclass(frozen=True, slots=True)
class Networks:
    """The metrics by networks that can run here, and why the others cannot."""

    with_truth: tuple[Measure, ...]
    without_truth: tuple[Measure, ...]
    missing: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ClipScore:
    """The figures of a clip, those of each of its frames, and what is wrong with it."""

    name: str
    figures: Figures
    frames: tuple[Figures, ...]
    findings: tuple[str, ...]
    missing: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All scores of a set; `inputs` are hashes of contents by path."""

    every: int
    inputs: Mapping[str, str]
    clips: tuple[ClipScore, ...]
    missing: Mapping[str, str]

    @property
    def mean(self) -> Figures:
        """The mean of each figure over the clips that have it."""
        return mean_of([clip.figures for clip in self.clips])


def evaluate(
    outputs: Path, truth: Path | None = None, *, every: int = EVERY, jobs: int = 1
) -> Evaluation:
    """Measure a video, a folder of pictures, or a folder of these, against `truth` if given.

    `every`: perceptual networks see every Nth frame. `jobs`: clips at the same time.
    """
    for name, value in (("every", every), ("jobs", jobs)):
        if value < 1:
            raise ConfigError(f"{name} = {value} is too small; it must be 1 or more")
    pairs = find_pairs(outputs, truth)
    networks = load_networks()
    with ThreadPoolExecutor(jobs) as pool:
        clips = tuple(pool.map(lambda pair: evaluate_clip(pair, networks, every=every), pairs))
    missing = dict(networks.missing)
    if truth is None:
        missing = dict.fromkeys(_truth_figures(networks), "there is no ground truth") | missing
    for clip in clips:
        missing |= {name: f"{clip.name}: {reason}" for name, reason in clip.missing.items()}
    paths = [path for pair in pairs for path in (pair.output, pair.truth) if path is not None]
    inputs = {str(path): content_hash(path) for path in paths}
    return Evaluation(every, inputs, clips, missing)


def load_networks() -> Networks:
    """Load every metric that needs a network, and note those that are not there."""
    missing: dict[str, str] = {}
    with_truth: list[Measure] = []
    without_truth: list[Measure] = []
    for load, names in (
        (ShiftTolerantLpips, ("stlpips", "robust")),
        (EfficientNetDistance, ("effnet",)),
    ):
        try:
            with_truth.append(load())
        except DependencyError as error:
            missing |= dict.fromkeys(names, str(error))
    for name in NAMES:
        try:
            (with_truth if name in WITH_TRUTH else without_truth).append(ImageQuality(name))
        except DependencyError as error:
            missing[name] = str(error)
    return Networks(tuple(with_truth), tuple(without_truth), missing)


def evaluate_clip(pair: Pair, networks: Networks, *, every: int = EVERY) -> ClipScore:
    """Measure one clip. Raises InputError for frames below 64 pixels and damaged files.

    A truth of another size is not compared: the figures that need it are missing.
    """
    info = probe(pair.output)
    notes: list[str] = []
    if loss := loss_of(info):
        notes.append(f"lossy output: {loss}")
    difference = _size_difference(info, pair.truth)
    missing: dict[str, str] = {}
    if difference:
        notes.append(f"other size: {difference}")
        missing = dict.fromkeys(_truth_figures(networks), difference)
        pair = Pair(pair.name, pair.output)
    placement = PlacementMeter()
    meters = _meters(networks, every, placement if pair.truth else None)
    frames, counts = _measure(pair, meters)
    figures = mean_of(frames)
    for meter in meters:
        figures |= meter.total()
    figures |= {"frames": float(counts[0]), "lossy": float(loss is not None)}
    if pair.truth is not None:
        figures["frames_lost"] = float(counts[1] - counts[0])
    if pair.truth is not None and counts[0] != counts[1]:
        notes.append(f"frame counts: {counts[0]} in the output, {counts[1]} in the truth")
    notes += findings(figures, first_misplaced=placement.first_misplaced)
    _log.info("%s: %d frames measured", pair.name, counts[0])
    return ClipScore(pair.name, figures, frames, tuple(notes), missing)


def mean_of(rows: Sequence[Figures]) -> Figures:
    """Return the mean of each figure over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}


def _truth_figures(networks: Networks) -> tuple[str, ...]:
    """The figures that cannot be had without a ground truth, apart from those missing anyhow."""
    names = (*PIXEL_FIGURES, "frames_lost", "stlpips", "robust", "effnet", *WITH_TRUTH)
    return tuple(name for name in names if name not in networks.missing)


def _meters(networks: Networks, every: int, placement: PlacementMeter | None) -> tuple[Meter, ...]:
    """The meters of one clip, with a ground truth if there is a placement to find."""
    meters: list[Meter] = []
    measures = networks.without_truth
    if placement is not None:
        measures = (*networks.with_truth, *measures)
        meters += [FrameMeter(fidelity)]
    meters += [FrameMeter(measure, every=every) for measure in measures]
    meters += [GridMeter(), CheckerMeter()]
    if placement is None:
        return (*meters, WarpMeter())
    meters += [TemporalMeter(), FlickerMeter(), GhostMeter(), TileMeter(), FrameMeter(color_drift)]
    return (*meters, ShiftMeter(every=every), placement)


def _measure(pair: Pair, meters: Sequence[Meter]) -> tuple[tuple[Figures, ...], tuple[int, int]]:
    """The figures of the frames that both have, and how many frames each has."""
    rows: list[Figures] = []
    output_count = truth_count = 0
    truths = _pictures(pair.truth) if pair.truth is not None else ()
    for output, truth in zip_longest(_pictures(pair.output), truths):
        output_count += output is not None
        truth_count += truth is not None
        if output is None or (truth is None and pair.truth is not None):
            continue
        moment = Moment(len(rows), output, truth)
        row: Figures = {}
        for meter in meters:
            row |= meter.add(moment)
        rows.append(row)
    return tuple(rows), (output_count, truth_count)


def _pictures(path: Path) -> Iterator[Picture]:
    """The frames in 8 bits. Raises InputError after the last if the file is damaged."""
    with VideoReader(path) as reader:
        for frame in reader:
            yield as_uint8(frame.pixels)
        reader.check_damage()


def _size_difference(info: VideoInfo, truth: Path | None) -> str | None:
    """Say that output and truth differ in size; InputError if they are too small to measure."""
    size = (info.width, info.height)
    if min(size) < SMALLEST:
        raise InputError(f"{info.path} is {size[0]}x{size[1]}; {SMALLEST} pixels are needed")
    if truth is None:
        return None
    other = probe(truth)
    if size == (other.width, other.height):
        return None
    return f"the output is {size[0]}x{size[1]}, the truth {other.width}x{other.height}"
