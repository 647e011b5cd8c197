"""What the training loop asks of a recipe: a model, its samples, and the terms of its loss."""

from collections.abc import Mapping
from typing import Any, Protocol

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
