"""The loss of a training step: the weighted sum of a recipe's terms."""

from dataclasses import fields

import torch
from jaxtyping import Float
from torch import Tensor

from vsr.training.config import LossWeights, StageConfig

RAMPED = ("perceptual", "prior_features")
"""Terms whose weights rise over `StageConfig.ramp` steps."""
CRITIC_TERMS = ("adversarial", "matching")
"""Terms that come from a critic; their weights rise after its warm-up."""


def total_loss(terms: dict[str, Tensor], stage: StageConfig, *, step: int) -> Float[Tensor, ""]:
    """The weighted sum of the terms at a step of the stage."""
    weights = {f.name: getattr(stage.weights, f.name) for f in fields(LossWeights)}
    return torch.stack(
        [
            weights[name] * ramp(name, stage, step=step) * term
            for name, term in terms.items()
            if weights[name]
        ]
    ).sum()


def ramp(name: str, stage: StageConfig, *, step: int) -> float:
    """Factor on a term at a step; 0 for the critic's terms during its warm-up."""
    begin = stage.critic.head_start if stage.critic is not None and name in CRITIC_TERMS else 0
    if step < begin:
        return 0.0
    if not stage.ramp or name not in (*RAMPED, *CRITIC_TERMS):
        return 1.0
    return min(1.0, (step - begin + 1) / stage.ramp)
