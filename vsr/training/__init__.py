"""Training: one loop for every recipe, from one CPU to many machines."""

from collections.abc import Sequence
from pathlib import Path


def train(config: str | Path, overrides: Sequence[str] = ()) -> Path:
    """Run or resume the training that a config describes; returns its run folder.

    `config` is a YAML file or the name of a shipped one, such as "compact"; `overrides` are
    `key.inner=value` strings that replace its values. Raises `ConfigError` for a wrong file, key or
    value.
    """
    from vsr.training.config_file import load_train_config
    from vsr.training.loop import run_training

    return run_training(load_train_config(config, overrides))


__all__ = ["train"]
