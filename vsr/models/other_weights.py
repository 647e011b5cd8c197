"""Other values of some weights of networks, in a file of their own."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vsr.errors import ModelError


class OtherWeights:
    """Other values of some weights of networks, which take their places for a while.

    Values change places in memory, so that networks on any device, in any number format, and in
    the hands of hooks or a compiler need no more than these weights twice.
    """

    def __init__(self, networks: Mapping[str, nn.Module], values: Mapping[str, Tensor]) -> None:
        """`values` by the names of the networks and their weights, as `unet.conv_in.weight`.

        Raises ModelError where a network has no such weight, or one of another shape.
        """
        self._weights = {
            f"{name}.{key}": weight
            for name, network in networks.items()
            for key, weight in network.named_parameters()
        }
        self._values = dict(values)
        for name, value in values.items():
            if name not in self._weights or self._weights[name].shape != value.shape:
                raise ModelError(f"no network has a weight {name} of shape {tuple(value.shape)}")

    @classmethod
    def load(cls, networks: Mapping[str, nn.Module], path: Path) -> "OtherWeights":
        """Return those in a safetensors file. Raises ModelError for a file that does not fit."""
        try:
            return cls(networks, load_file(path))
        except (OSError, SafetensorError, ModelError) as error:
            raise ModelError(f"{path} cannot be loaded: {error}") from error

    @contextmanager
    def in_place(self) -> Generator[None]:
        """Let the networks have these values inside the `with` block."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, value in self._values.items():
            weight = self._weights[name]
            own = weight.detach().clone()
            weight.copy_(value)
            self._values[name] = own


def save_other_weights(
    networks: Mapping[str, nn.Module], others: Mapping[str, nn.Module], path: Path
) -> int:
    """Write what differs in `others`, in half precision, for networks of that precision.

    Returns the number of values. Raises ModelError for networks of other shapes.
    """
    found: dict[str, Tensor] = {}
    for name, network in networks.items():
        weights = dict(network.named_parameters())
        if _shapes(weights) != _shapes(dict(others[name].named_parameters())):
            raise ModelError(f"the {name} has other weights than that of the model folder")
        for key, value in others[name].named_parameters():
            half = value.detach().half()
            if not torch.equal(half, weights[key].detach().half()):
                found[f"{name}.{key}"] = half.contiguous()
    save_file(found, path, metadata={"format": "pt"})
    return sum(value.numel() for value in found.values())


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in weights.items()}
