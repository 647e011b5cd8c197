"""The interface of a recipe: a model, its samples, and the terms of its loss."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn
from torch.utils.data import Dataset

from vsr.training.config import StageConfig

Batch = Mapping[str, Any]
"""A collated batch; `index` holds the samples' numbers, from which all their randomness comes."""


class Recipe(Protocol):
    """One way of training: everything that differs between recipes, nothing that does not."""

    @property
    def model(self) -> nn.Module:
        """All that is trained, in one module whose forward makes the prediction."""
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
    """A recipe with a critic, which learns beside the model in stages that have a `critic` config.

    A micro-batch calls `terms` and then `critic_terms`; after the last one both networks move, so
    that each has seen the other as it was before. The critic is saved and resumed with the model.
    """

    @property
    def critic(self) -> nn.Module | None:
        """All that judges, in one module (an `nn.ModuleDict` of several, say); None: no stage asks.

        Parameters that do not need gradients when the run begins never train. Every process holds
        it whole and unwrapped: `terms` may use `self.critic` as it is, and gradients pass through
        it there without staying in it.
        """
        ...

    def critic_terms(self, batch: Batch, stage: StageConfig) -> dict[str, Tensor]:
        """The terms of the critic's loss, which is their plain sum, for the batch of `terms`.

        What the model made in `terms` can be kept from there (detached). Not called under the
        loop's autocast: use your own.
        """
        ...
