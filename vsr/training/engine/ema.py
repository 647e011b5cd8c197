"""The running average of the weights, which is the result of a run."""

from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vsr.training.engine.sharding import spread_like


class Ema:
    """Exponential moving average of the parameters called `names` (default: all), in float32.

    The decay rises with the number of updates, min(decay, (1 + n) / (10 + n)), so that a young
    average forgets its start (as TensorFlow's ExponentialMovingAverage does).
    """

    def __init__(
        self, model: nn.Module, decay: float, *, names: Collection[str] | None = None
    ) -> None:
        self.decay = decay
        self.updates = 0
        self.shadow = {
            name: parameter.detach().float().clone()
            for name, parameter in model.named_parameters()
            if names is None or name in names
        }

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the parameters as they are now."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, parameter in self._averaged(model).items():
            self.shadow[name].lerp_(parameter.float(), 1 - decay)
        self.updates += 1

    @contextmanager
    def applied(self, model: nn.Module) -> Generator[None]:
        """The model with the averaged parameters in place of its own, inside a `with` block."""
        parameters = self._averaged(model)
        own = {name: p.detach().clone() for name, p in parameters.items()}
        _assign(parameters, self.shadow)
        try:
            yield
        finally:
            _assign(parameters, own)

    def load(self, shadow: Mapping[str, Tensor], updates: int) -> None:
        """Load a saved average of whole or sharded tensors."""
        for name, value in self.shadow.items():
            value.copy_(spread_like(shadow[name], value))
        self.updates = updates

    def _averaged(self, model: nn.Module) -> dict[str, nn.Parameter]:
        return {name: p for name, p in model.named_parameters() if name in self.shadow}


@torch.no_grad()
def _assign(parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(values[name])
