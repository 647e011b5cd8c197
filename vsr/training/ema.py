"""The running average of the weights, which is what a run hands over in the end."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Exponential moving average of a model's parameters, in float32.

    The decay rises with the number of updates, min(decay, (1 + n) / (10 + n)), so that a young
    average forgets its start (as TensorFlow's ExponentialMovingAverage does).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.shadow = {n: p.detach().float().clone() for n, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the parameters as they are now."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, parameter in model.named_parameters():
            self.shadow[name].lerp_(parameter.float(), 1 - decay)
        self.updates += 1

    @contextmanager
    def applied(self, model: nn.Module) -> Generator[None]:
        """The model with the averaged parameters in place of its own, inside a `with` block."""
        own = {n: p.detach().clone() for n, p in model.named_parameters()}
        _assign(model, self.shadow)
        try:
            yield
        finally:
            _assign(model, own)

    def load(self, shadow: dict[str, Tensor], updates: int) -> None:
        """Take over a saved average."""
        for name, value in self.shadow.items():
            value.copy_(shadow[name])
        self.updates = updates


@torch.no_grad()
def _assign(model: nn.Module, values: dict[str, Tensor]) -> None:
    for name, parameter in model.named_parameters():
        parameter.copy_(values[name])
