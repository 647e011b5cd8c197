"""Checkpoints of a run: folders, complete or not there at all; the newest and the best are kept."""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from vsr.errors import ConfigError, InputError, OutputError
from vsr.training.config import TrainConfig
from vsr.training.config_file import build_train_config, config_to_dict, differing_fields

logger = logging.getLogger(__name__)

FIXED = ("model.", "recipe", "seed")
"""Fields without which a checkpoint's tensors mean nothing; with dots, all below them."""
FREE = (
    "compile",
    "data.cache",
    "data.photo_memory",
    "data.prefetch",
    "data.workers",
    "device",
    "gradient_checkpointing",
    "keep",
    "log_every",
    "run",
    "save_every",
    "trackers",
    "validation.",
)
"""Fields that may differ on resume without a word: the weights come out the same."""
BEST = "best"
CRITIC = "critic.safetensors"
_PREFIX = "step_"


@dataclass(slots=True)
class TrainingProgress:
    """Where a run stands; all that a checkpoint knows besides tensors."""

    stage: int = 0
    step: int = 0
    """Optimiser steps done in this stage, skipped ones too."""
    total: int = 0
    """Optimiser steps done in all stages."""
    position: int = 0
    """Samples drawn in this stage by all processes together."""
    skipped: int = 0
    skipped_in_row: int = 0
    rollbacks: int = 0
    mean_norm: float | None = None
    """Running mean of the gradient norm."""
    critic_mean_norm: float | None = None
    ema_updates: int = 0
    best: float | None = None
    """The best validation figure so far; higher is better."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint in memory: weights, their average, optimiser state, progress, config."""

    model: dict[str, Tensor]
    ema: dict[str, Tensor]
    optimizer: dict[str, Any] | None
    """None between stages, which begin with a fresh optimiser."""
    rng: list[dict[str, Any]]
    """States of the random generators of each process, `cpu` and `cuda`."""
    progress: TrainingProgress
    config: Mapping[str, Any]
    critic: dict[str, Tensor] | None = None
    """Weights of an adversarial recipe's critic."""
    critic_optimizer: dict[str, Any] | None = None
    scaler: dict[str, Any] | None = None
    """How losses are scaled, in fp16."""


def save_checkpoint(run: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write a checkpoint folder and remove all but the newest `keep`; returns the folder.

    The folder is written under another name, flushed to the disk and renamed; a failure leaves the
    older ones as they were. Raises `OutputError` when it cannot be written.
    """
    target = run / "checkpoints" / f"{_PREFIX}{checkpoint.progress.total:08d}"
    partial = target.with_name(f".partial_{target.name}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_file(_contiguous(checkpoint.model), partial / "model.safetensors")
        save_file(_contiguous(checkpoint.ema), partial / "ema.safetensors")
        if checkpoint.critic is not None:
            save_file(_contiguous(checkpoint.critic), partial / CRITIC)
        state = {
            "optimizer": checkpoint.optimizer,
            "critic_optimizer": checkpoint.critic_optimizer,
            "scaler": checkpoint.scaler,
            "rng": checkpoint.rng,
        }
        torch.save(state, partial / "optimizer.pt")
        about = {"progress": asdict(checkpoint.progress), "config": checkpoint.config}
        (partial / "state.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
        _flush(partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    except (OSError, SafetensorError, RuntimeError) as error:  # each writer has its own kind
        shutil.rmtree(partial, ignore_errors=True)
        raise OutputError(
            f"cannot write checkpoint {target}: {_reason(error)}; the older ones are whole"
        ) from error
    for old in checkpoint_folders(run)[:-keep]:
        shutil.rmtree(old)
    return target


def save_best(run: Path, checkpoint: Path) -> None:
    """Keep a copy (by hard links) of a checkpoint as the best one."""
    best = run / "checkpoints" / BEST
    partial = best.with_name(f".partial_{BEST}")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(checkpoint, partial, copy_function=os.link)
    shutil.rmtree(best, ignore_errors=True)
    partial.rename(best)


def checkpoint_folders(run: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first, without the best one's copy."""
    return sorted((run / "checkpoints").glob(f"{_PREFIX}*"))


def find_checkpoint(source: Path) -> Path:
    """The checkpoint that a path means: itself, or the newest of a run.

    Raises `InputError` where there is none.
    """
    if (source / "state.json").is_file():
        return source
    folders = checkpoint_folders(source)
    if not folders:
        raise InputError(
            f"{source} holds no checkpoint; it can be the run folder of a training, or one of the "
            "folders in its checkpoints/"
        )
    return folders[-1]


def load_checkpoint(folder: Path) -> Checkpoint:
    """A checkpoint read back, on the CPU."""
    about = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    state = torch.load(folder / "optimizer.pt", map_location="cpu", weights_only=True)
    rng = state["rng"]
    return Checkpoint(
        model=load_file(folder / "model.safetensors"),
        ema=load_file(folder / "ema.safetensors"),
        optimizer=state["optimizer"],
        rng=[{"cpu": rng, "cuda": None}] if isinstance(rng, Tensor) else rng,
        progress=TrainingProgress(**about["progress"]),
        config=about["config"],
        critic=load_file(folder / CRITIC) if (folder / CRITIC).is_file() else None,
        critic_optimizer=state.get("critic_optimizer"),
        scaler=state.get("scaler"),
    )


def check_resumable(folder: Path, checkpoint: Checkpoint, config: TrainConfig) -> None:
    """Raise `ConfigError` where a run of `config` cannot go on from a checkpoint of another one.

    What shapes the networks, the seed and the stages up to the present one must be the same. What
    only says where and how often things are done may differ; all else may too, with a warning
    that names it, since the result is then another than that of either config alone.
    """
    old, new = config_to_dict(build_train_config(checkpoint.config)), config_to_dict(config)
    differing = differing_fields(old, new)
    begun = checkpoint.progress.stage + bool(checkpoint.progress.step)
    names = [[stage["name"] for stage in values["stages"][:begun]] for values in (old, new)]
    wrong = [name for name in differing if name.startswith(FIXED)]
    if names[0] != names[1]:
        wrong.append(f"order of stages ({', '.join(names[0])} here, now {', '.join(names[1])})")
    if wrong:
        raise ConfigError(
            f"{folder} was made with another {', '.join(wrong)}; take another run folder "
            "(run=...) or the old values"
        )
    if changed := [name for name in differing if not name.startswith(FREE)]:
        logger.warning("resumed with other values of %s", ", ".join(changed))


def _reason(error: Exception) -> str:
    """The system's words, or the first line of a writer's."""
    said = error.strerror if isinstance(error, OSError) else None
    return said or str(error).partition("\n")[0]


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().contiguous() for name, value in tensors.items()}


def _flush(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
