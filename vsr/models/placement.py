"""A module on a device for a while, and its own memory after it: nothing is copied back."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import nn

EIGHT_BITS = (torch.float8_e4m3fn, torch.float8_e5m2)
"""Formats in which weights are only stored."""


def move(module: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Move a module to a device and a number format; weights stored in 8 bits stay in theirs."""
    for tensor in [*module.parameters(), *module.buffers()]:
        is_stored = tensor.dtype in EIGHT_BITS
        tensor.data = tensor.data.to(device, tensor.dtype if is_stored else dtype)


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
