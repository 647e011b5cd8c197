"""Training: one loop for every recipe, from one CPU to many machines."""

from collections.abc import Sequence
from pathlib import Path


def train(config_path: str | Path, overrides: Sequence[str] = ()) -> Path:
    """Run the training that a config file describes, or go on with it; returns its run folder.

    `overrides` are `key.inner=value` strings that replace values of the file.
    Raises `ConfigError` for a wrong file, key or value.
    """
    from vsr.training.config_file import load_train_config
    from vsr.training.loop import run_training

    return run_training(load_train_config(config_path, overrides))


__all__ = ["train"]
