"""Speed of this machine: the time of one convolution, from which that of networks follows."""

import time

import torch
from torch import nn

CHANNELS, KERNEL = 64, 3
MULTIPLICATIONS = CHANNELS * CHANNELS * KERNEL * KERNEL
"""Multiplications per pixel of the convolution that is timed."""

_HEIGHT, _WIDTH = 144, 180
_SECONDS = 0.2
_WARM_UP, _BATCH = 2, 4


@torch.no_grad()
def convolution_seconds(device: torch.device, dtype: torch.dtype) -> float:
    """Return the seconds per pixel of a 3x3 convolution from 64 to 64 channels; takes about 0.3 s.

    It is what most super-resolution networks consist of.
    """
    layer = nn.Conv2d(CHANNELS, CHANNELS, KERNEL, padding=1, device=device, dtype=dtype)
    layer = layer.to(memory_format=torch.channels_last)
    image = torch.zeros(1, CHANNELS, _HEIGHT, _WIDTH, device=device, dtype=dtype)
    image = image.contiguous(memory_format=torch.channels_last)
    best, deadline, done = float("inf"), time.perf_counter() + _SECONDS, 0
    while done < _WARM_UP or time.perf_counter() < deadline:
        began = time.perf_counter()
        for _ in range(_BATCH):
            layer(image)
        _wait(device)
        best = min(best, (time.perf_counter() - began) / _BATCH)
        done += 1
    return best / (_HEIGHT * _WIDTH)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
