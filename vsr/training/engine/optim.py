"""Choice of parameters, optimiser, and learning rate as a pure function of the step."""

import importlib
import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from vsr.errors import ConfigError, DependencyError, install_extra
from vsr.training.config import OptimizerConfig, StageConfig
from vsr.training.engine.adapters import is_adapter


def names_that_train(model: nn.Module, stage: StageConfig) -> set[str]:
    """The names of the parameters that train in a stage: of a model with adapters, those alone.

    Raises `ConfigError` for a pattern that matches no parameter, and if nothing trains.
    """
    names = [name for name, _ in model.named_parameters()]
    names = [name for name in names if is_adapter(name)] or names
    for pattern in (*stage.train, *stage.freeze, *stage.lr_scales):
        if not any(fnmatchcase(name, pattern) for name in names):
            some = ", ".join(sorted({".".join(name.split(".")[:2]) for name in names})[:8])
            raise ConfigError(
                f"stage {stage.name!r}: no parameter is called like {pattern!r}; there are {some}"
            )
    chosen = {n for n in names if _matches(n, stage.train) and not _matches(n, stage.freeze)}
    if not chosen:
        raise ConfigError(
            f"stage {stage.name!r}: nothing trains; see its train and freeze patterns"
        )
    return chosen


def choose_parameters(model: nn.Module, stage: StageConfig) -> int:
    """Set which parameters need gradients in this stage; returns their total size.

    Raises `ConfigError` like `names_that_train`.
    """
    chosen = names_that_train(model, stage)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def make_optimizer(
    model: nn.Module, stage: StageConfig, config: OptimizerConfig
) -> torch.optim.Optimizer:
    """AdamW over the parameters that need gradients, grouped by factor on the learning rate.

    Vectors and scalars (biases, slopes, gains) do not decay. A group holds its factor as
    `lr_scale`. Raises `DependencyError` if `adamw8bit` is set without bitsandbytes.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = config.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((_lr_scale(name, stage), decay), []).append(parameter)
    sorted_groups = [
        {"params": params, "lr_scale": scale, "weight_decay": decay}
        for (scale, decay), params in sorted(groups.items(), key=lambda item: item[0])
    ]
    if config.kind == "adamw8bit":
        return _adamw_8bit()(sorted_groups, lr=stage.lr, betas=config.betas)
    return torch.optim.AdamW(sorted_groups, lr=stage.lr, betas=config.betas, fused=True)


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


def _adamw_8bit() -> Any:
    try:
        return importlib.import_module("bitsandbytes").optim.AdamW8bit
    except ImportError as error:
        raise DependencyError(
            "optimizer.kind: adamw8bit needs bitsandbytes, which is not installed: "
            f"{install_extra('8bit')}; or set kind: adamw"
        ) from error


def _lr_scale(name: str, stage: StageConfig) -> float:
    return next((s for pattern, s in stage.lr_scales.items() if fnmatchcase(name, pattern)), 1.0)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
