"""The critic of adversarial recipes in training, with its own optimiser."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from vsr.errors import ConfigError
from vsr.training.config import CriticConfig


class CriticOptimizer:
    """A recipe's critic and its optimiser.

    Every process holds the whole critic, and gradients are averaged over the processes. Model and
    critic are updated together, once per step, each by gradients through the other's old weights.
    """

    def __init__(self, module: nn.Module, accelerator: Accelerator) -> None:
        self.module, self.accelerator = module.to(accelerator.device), accelerator
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.optimizer: torch.optim.Optimizer | None = None

    def begin(self, config: CriticConfig, optimizer_state: Mapping[str, Any] | None) -> None:
        """Make the optimiser of a stage, with its saved state if the stage resumes."""
        self.module.train()
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=config.lr,
            betas=config.betas,
            weight_decay=config.weight_decay,
            fused=True,
        )
        if optimizer_state is not None:
            self.optimizer.load_state_dict(dict(optimizer_state))

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Load saved weights; raises `ConfigError` if they belong to another critic."""
        try:
            self.module.load_state_dict(dict(weights))
        except RuntimeError as error:
            raise ConfigError(
                "the checkpoint's critic is of another shape; give the config its values of "
                "adversarial.discriminator, channels and depth, or take another run folder"
            ) from error

    @contextmanager
    def frozen(self) -> Generator[None]:
        """Inside, gradients flow through the critic but are not stored in it."""
        for parameter in self.parameters:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in self.parameters:
                parameter.requires_grad_(True)

    def finish_gradients(self, clip_norm: float) -> float:
        """Average the gradients over the processes and clip them; returns their norm before."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if self.accelerator.num_processes > 1:
            flat: Any = self.accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "mean")
            parts = flat.split([g.numel() for g in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view_as(gradient))
        return float(nn.utils.clip_grad_norm_(self.parameters, clip_norm))

    def step(self, lr: float) -> None:
        """Update the weights."""
        assert self.optimizer is not None, "begin() first"
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()

    def forget_gradients(self) -> None:
        """Drop the gradients of this step."""
        for parameter in self.parameters:
            parameter.grad = None
