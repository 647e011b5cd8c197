"""Checkpoints of a run: folders that are complete or absent; the newest and the best are kept."""

import json
import logging
import os
import pickle
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from vsr.errors import InputError, OutputError
from vsr.runtime.files import (
    current_folder,
    current_folders,
    put_in_place,
    remove_folder,
    remove_leftovers,
)
from vsr.training.engine.sharding import is_sharded, read_shards, write_shards

logger = logging.getLogger(__name__)

BEST = "best"
MODEL, EMA, CRITIC = "model.safetensors", "ema.safetensors", "critic.safetensors"
OPTIMIZER, STATE = "optimizer.pt", "state.json"
SHARDS = "shards"
"""The folder of a sharded run's tensors, instead of its files of model and average."""
_PREFIX = "step_"

# Each library raises its own errors for a damaged file or a full disk.
_WRITE_ERRORS = (OSError, SafetensorError, RuntimeError)
_READ_ERRORS = (
    *_WRITE_ERRORS,
    AttributeError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)


@dataclass(slots=True)
class TrainingProgress:
    """The position of a run: everything in a checkpoint besides tensors and the config."""

    stage: int = 0
    step: int = 0
    """Optimiser steps done in this stage, skipped ones included."""
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
    best_total: int | None = None
    """The value of `total` at that validation."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint in memory: weights, their average, optimiser state, progress, config."""

    model: dict[str, Tensor]
    """The tensors of a sharded run are shards, here and below."""
    ema: dict[str, Tensor]
    optimizer: dict[str, Any] | None
    """`state_dict()`, or `optimizer_by_name` of a sharded run; None between stages, which begin
    with a fresh optimiser."""
    rng: list[dict[str, Any]]
    """States of the random generators of each process, `cpu` and `cuda`."""
    progress: TrainingProgress
    config: Mapping[str, Any]
    critic: dict[str, Tensor] | None = None
    """Weights of an adversarial recipe's critic."""
    critic_optimizer: dict[str, Any] | None = None
    scaler: dict[str, Any] | None = None
    """State of the loss scaler, in fp16."""

    @property
    def result(self) -> dict[str, Tensor]:
        """The weights that the run gives: the average of those that trained."""
        return {**self.model, **self.ema}


def save_checkpoint(run: Path, checkpoint: Checkpoint, *, keep: int, is_main: bool = True) -> Path:
    """Write a checkpoint folder, then remove all but the newest `keep`; returns the folder.

    The folder is written under another name, flushed to the disk and renamed. A failure leaves the
    older ones as they were. Raises `OutputError` if it cannot be written. All processes call it:
    each writes its shards, the main one everything else.
    """
    target = run / "checkpoints" / f"{_PREFIX}{checkpoint.progress.total:08d}"
    partial = target.with_name(f".partial_{target.name}")
    try:
        if is_main:
            shutil.rmtree(partial, ignore_errors=True)
        if is_sharded(checkpoint.model):
            write_shards(partial / SHARDS, _tensors(checkpoint))
        if not is_main:
            return target
        partial.mkdir(parents=True, exist_ok=is_sharded(checkpoint.model))
        _write(partial, checkpoint)
        put_in_place(partial, target)
    except _WRITE_ERRORS as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise OutputError(
            f"cannot write checkpoint {target}: {_reason(error)}; the older ones are whole"
        ) from error
    _remove_older(checkpoint_folders(run), target, keep=keep)
    remove_leftovers(target.parent)
    return target


def save_best(run: Path, checkpoint: Path) -> None:
    """Keep a copy of a checkpoint (by hard links, if the file system has them) as the best one."""
    best = run / "checkpoints" / BEST
    partial = best.with_name(f".partial_{BEST}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(checkpoint, partial, copy_function=_link_or_copy)
        put_in_place(partial, best)
    except OSError as error:
        raise OutputError(f"cannot write {best}: {_reason(error)}") from error


def checkpoint_folders(run: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first, without the copy of the best one."""
    return current_folders(run / "checkpoints", _PREFIX)


def find_checkpoint(source: Path) -> Path:
    """The checkpoint at a path: the path itself, or the newest one of a run folder.

    Raises `InputError` if there is none.
    """
    if (current_folder(source) / STATE).is_file():
        return current_folder(source)
    folders = checkpoint_folders(source)
    if not folders:
        raise InputError(
            f"{source} holds no checkpoint; it can be the run folder of a training, or one of the "
            "folders in its checkpoints/"
        )
    return folders[-1]


def load_newest(
    folders: Sequence[Path], like: Mapping[str, Tensor] = MappingProxyType({})
) -> tuple[Path, Checkpoint]:
    """The newest checkpoint that can be read, with its folder; a damaged one is named in the log.

    `folders` are in order, oldest first; `like` as in `load_checkpoint`. Raises `InputError` if
    none of them can be read.
    """
    damaged: list[str] = []
    for folder in reversed(folders):
        try:
            checkpoint = load_checkpoint(folder, like)
        except InputError as error:
            damaged.append(str(error))
            continue
        for reason in damaged:
            logger.warning("%s; %s is used instead", reason, folder.name)
        return folder, checkpoint
    raise InputError(
        f"{'; '.join(damaged)}; no other checkpoint is left: begin again in another run folder "
        "(run=...)"
    )


def load_checkpoint(folder: Path, like: Mapping[str, Tensor] = MappingProxyType({})) -> Checkpoint:
    """A checkpoint read back, on the CPU. Raises `InputError` if it is damaged.

    Tensors of a sharded run are sharded and placed like those of the same names in `like`.
    """
    try:
        return _read(folder, like)
    except _READ_ERRORS as error:
        raise InputError(f"checkpoint {folder} is damaged: {_reason(error)}") from error


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    """Write everything but shards."""
    state = {
        "optimizer": checkpoint.optimizer,
        "critic_optimizer": checkpoint.critic_optimizer,
        "scaler": checkpoint.scaler,
        "rng": checkpoint.rng,
    }
    about = {"progress": asdict(checkpoint.progress), "config": checkpoint.config}
    if is_sharded(checkpoint.model):
        state["optimizer"] = None if checkpoint.optimizer is None else {}
        about[SHARDS] = _sizes(folder / SHARDS)
    else:
        save_file(_contiguous(checkpoint.model), folder / MODEL)
        save_file(_contiguous(checkpoint.ema), folder / EMA)
    if checkpoint.critic is not None:
        save_file(_contiguous(checkpoint.critic), folder / CRITIC)
    torch.save(state, folder / OPTIMIZER)
    (folder / STATE).write_text(json.dumps(about, indent=1), encoding="utf-8")


def _read(folder: Path, like: Mapping[str, Tensor]) -> Checkpoint:
    about = json.loads((folder / STATE).read_text(encoding="utf-8"))
    state = torch.load(folder / OPTIMIZER, map_location="cpu", weights_only=True)
    rng, optimizer = state["rng"], state["optimizer"]
    if SHARDS in about:
        if _sizes(folder / SHARDS) != about[SHARDS]:
            raise ValueError("a file of its shards is missing or cut off")
        model, ema, found = _parts(read_shards(folder / SHARDS, like))
        optimizer = None if optimizer is None else found
    else:
        model, ema = load_file(folder / MODEL), load_file(folder / EMA)
    return Checkpoint(
        model=model,
        ema=ema,
        optimizer=optimizer,
        rng=[{"cpu": rng, "cuda": None}] if isinstance(rng, Tensor) else rng,
        progress=TrainingProgress(**about["progress"]),
        config=about["config"],
        critic=load_file(folder / CRITIC) if (folder / CRITIC).is_file() else None,
        critic_optimizer=state.get("critic_optimizer"),
        scaler=state.get("scaler"),
    )


def _tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The tensors of a sharded run, named as `read_shards` expects."""
    states = checkpoint.optimizer or {}
    return {
        **{f"model/{name}": tensor.detach() for name, tensor in checkpoint.model.items()},
        **{f"ema/{name}": tensor for name, tensor in checkpoint.ema.items()},
        **{f"optimizer/{n}/{key}": t for n, state in states.items() for key, t in state.items()},
    }


def _parts(
    tensors: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    """Model, average and optimiser of `_tensors`."""
    parts: dict[str, Any] = {"model": {}, "ema": {}, "optimizer": {}}
    for full_name, tensor in tensors.items():
        part, name, *key = full_name.split("/")
        if key:
            parts[part].setdefault(name, {})[key[0]] = tensor
        else:
            parts[part][name] = tensor
    return parts["model"], parts["ema"], parts["optimizer"]


def _sizes(folder: Path) -> dict[str, int]:
    """The sizes of the files in a folder, by name."""
    return {file.name: file.stat().st_size for file in sorted(folder.iterdir())}


def _remove_older(folders: Sequence[Path], newest: Path, *, keep: int) -> None:
    """Remove all but `keep` of the folders up to `newest`.

    Later ones, which a resumed run found damaged, do not count: the run replaces them when
    it reaches their steps.
    """
    for old in [folder for folder in folders if folder.name <= newest.name][:-keep]:
        remove_folder(old)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _reason(error: Exception) -> str:
    """The system's message, or the first line of a library's."""
    message = error.strerror if isinstance(error, OSError) else None
    return message or str(error).partition("\n")[0] or type(error).__name__


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().contiguous() for name, value in tensors.items()}
