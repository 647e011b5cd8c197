"""Which parameters train, how fast, and how the learning rate moves: pure functions of the step."""

import math
from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from torch import nn

from vsr.errors import ConfigError
from vsr.training.config import OptimizerConfig, StageConfig


def choose_parameters(model: nn.Module, stage: StageConfig) -> int:
    """Set which parameters need gradients in this stage; returns how many numbers they hold.

    Raises `ConfigError` for a pattern that matches no parameter.
    """
    names = [name for name, _ in model.named_parameters()]
    for pattern in (*stage.train, *stage.freeze, *stage.lr_scales):
        if not any(fnmatchcase(name, pattern) for name in names):
            some = ", ".join(sorted({".".join(name.split(".")[:2]) for name in names})[:8])
            raise ConfigError(
                f"stage {stage.name!r}: no parameter is called like {pattern!r}; there are {some}"
            )
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(_matches(name, stage.train) and not _matches(name, stage.freeze))
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if not count:
        raise ConfigError(
            f"stage {stage.name!r}: nothing trains; see its train and freeze patterns"
        )
    return count


def make_optimizer(
    model: nn.Module, stage: StageConfig, config: OptimizerConfig
) -> torch.optim.AdamW:
    """AdamW over the parameters that need gradients, grouped by factor on the learning rate.

    Vectors and scalars (biases, slopes, gains) do not decay. A group holds its factor as
    `lr_scale`.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = config.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((_lr_scale(name, stage), decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": params, "lr_scale": scale, "weight_decay": decay}
            for (scale, decay), params in sorted(groups.items(), key=lambda item: item[0])
        ],
        lr=stage.lr,
        betas=config.betas,
        fused=True,
    )


def learning_rate(step: int, stage: StageConfig) -> float:
    """The learning rate of optimiser step `step` (from 0): linear rise, then flat or a cosine."""
    if step < stage.warmup:
        return stage.lr * (step + 1) / stage.warmup
    if stage.schedule == "constant":
        return stage.lr
    done = (step - stage.warmup) / max(1, stage.steps - stage.warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return stage.lr * (stage.final_lr + (1 - stage.final_lr) * cosine)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def _lr_scale(name: str, stage: StageConfig) -> float:
    return next((s for pattern, s in stage.lr_scales.items() if fnmatchcase(name, pattern)), 1.0)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
