"""Noise of training samples, drawn by sample number, whatever the batch, process and restart."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vsr.training.config import NoiseConfig


def normal_like(
    like: Float[Tensor, "b *rest"], generators: Sequence[torch.Generator]
) -> Float[Tensor, "b *rest"]:
    """Unit noise of the shape of a batch, every sample from its own generator."""
    draws = [torch.randn(like.shape[1:], generator=g, device=g.device) for g in generators]
    return torch.stack(draws).to(like)


def draw_levels(config: NoiseConfig, generators: Sequence[torch.Generator]) -> Int[Tensor, " b"]:
    """Noise levels: 1 to the highest with `level_probability`, else 0."""
    levels: list[int] = []
    for generator in generators:
        noisy = float(torch.rand((), generator=generator)) < config.level_probability
        level = int(torch.randint(1, config.max_level + 1, (), generator=generator))
        levels.append(level if noisy else 0)
    return torch.tensor(levels)
