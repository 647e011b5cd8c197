"""The interface of a recipe: a model, its samples, and the terms of its loss."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn
from torch.utils.data import Dataset

from vsr.training.config import StageConfig

Batch = Mapping[str, Any]
"""A collated batch; `index` holds the samples' numbers, from which all their randomness comes."""


class Recipe(Protocol):
    """A training method: its model, samples, loss and validation."""

    @property
    def model(self) -> nn.Module:
        """All trained networks in one module, whose forward computes the prediction."""
        ...

    def dataset(self, stage: StageConfig) -> Dataset[dict[str, Tensor]]:
        """The endless, numbered samples of a stage."""
        ...

    def terms(self, model: nn.Module, batch: Batch, stage: StageConfig) -> dict[str, Tensor]:
        """The terms of the loss by the names of `LossWeights`; those of weight 0 may be missing.

        `model` is `self.model`, perhaps wrapped for many processes.
        """
        ...

    def validate(self, model: nn.Module, run_step: int) -> dict[str, float]:
        """Figures on fixed held-out samples, `psnr` among them; pictures go to the run folder."""
        ...


@runtime_checkable
class AdversarialRecipe(Recipe, Protocol):
    """A recipe with a critic, which trains alongside the model in stages with a `critic` config.

    Each micro-batch calls `terms`, then `critic_terms`. After the last one both networks are
    updated, each by gradients through the other's old weights. The critic is saved and resumed
    with the model.
    """

    @property
    def critic(self) -> nn.Module | None:
        """All critics in one module (such as an `nn.ModuleDict`); None if no stage has a critic.

        Parameters that do not need gradients when the run begins never train. Every process holds
        the whole module, unwrapped: `terms` may call `self.critic` directly, and gradients flow
        through it there without being stored in it.
        """
        ...

    def critic_terms(self, batch: Batch, stage: StageConfig) -> dict[str, Tensor]:
        """The terms of the critic's loss, their unweighted sum, for the batch of `terms`.

        `terms` may keep its detached output for this call. The loop's autocast is not active here:
        use your own.
        """
        ...
