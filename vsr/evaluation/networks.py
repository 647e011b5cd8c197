"""The metrics by networks that can run here, and why the others cannot."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vsr.errors import DependencyError
from vsr.evaluation.evalcrafter import FlowChoice
from vsr.evaluation.frechet import Features, InceptionFeatures
from vsr.evaluation.image_quality import NAMES, WITH_TRUTH, ImageQuality
from vsr.evaluation.meters import Figures, Moment
from vsr.evaluation.perceptual import EfficientNetDistance, ShiftTolerantLpips

Measure = Callable[[Moment], Figures]


@dataclass(frozen=True, slots=True)
class Networks:
    """Measures of frames, the flow of the second warping error, and the features of FID.

    `missing` says why a metric is not among them; `features` is None then.
    """

    with_truth: tuple[Measure, ...]
    without_truth: tuple[Measure, ...]
    missing: Mapping[str, str]
    flow: FlowChoice | None = None
    features: Features | None = None


def load_networks(raft: Path | None = None) -> Networks:
    """Load every metric that needs a network, and note those that are not there.

    `raft` holds RAFT's weights for EvalCrafter's warping error; see `FlowChoice`.
    """
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
    features = None
    try:
        features = InceptionFeatures()
    except DependencyError as error:
        missing["fid"] = str(error)
    flow = FlowChoice(raft)
    return Networks(tuple(with_truth), tuple(without_truth), missing, flow, features)
