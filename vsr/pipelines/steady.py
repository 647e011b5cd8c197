"""The propagator of a clip, as both pipelines make it."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from vsr.models.flow_estimators import FlowEstimator
from vsr.ops.flow import Flows
from vsr.pipelines.settings import SamplingConfig
from vsr.propagation.fusion import PropagationConfig
from vsr.propagation.propagator import PropagationState, Propagator
from vsr.runtime.timing import Timer

OF_FRAMES = PropagationConfig(
    beta=0.5, alpha1=0.01, alpha2=0.5, mode="bicubic", padding="border", gate=12, count=6
)
"""The propagation of frames that a model made one by one, or of decoded ones."""


def clip_propagator(
    low_res: Float[Tensor, "1 3 t h w"],
    settings: SamplingConfig,
    *,
    estimator: Callable[[], FlowEstimator],
    flows: Flows | tuple[Tensor, Tensor] | None,
    state: PropagationState | None,
    scale: float,
    timer: Timer,
) -> Propagator | None:
    """Returns the propagator of a clip, or None if no step propagates.

    The maps to fuse are `scale` times larger than `low_res`. `estimator` makes the flow estimator,
    which is needed only where `flows` are not given.
    """
    if not settings.propagation_steps:
        return None
    flow = estimator() if flows is None else Flows.of(flows)
    with timer("flow"):
        return Propagator(
            settings.propagation,
            low_res,
            flow=flow,
            scale=scale,
            state=state,
            restore_detail=settings.restore_detail,
        )
