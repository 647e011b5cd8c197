"""A module on a device for a while, and its own memory after it: nothing is copied back."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def on_device(module: nn.Module, device: torch.device) -> Generator[None]:
    """Have the weights of `module` on `device` during the context, in which they do not change."""
    tensors = [*module.parameters(), *module.buffers()]
    own = [tensor.data for tensor in tensors]
    try:
        for tensor in tensors:
            tensor.data = tensor.data.to(device, non_blocking=True)
        yield
    finally:
        for tensor, data in zip(tensors, own, strict=True):
            tensor.data = data
