"""The config fields that must stay the same for a run to resume, and those that may change."""

import logging
from pathlib import Path

from vsr.errors import ConfigError
from vsr.training.config import TrainConfig
from vsr.training.config_file import build_train_config, config_to_dict, differing_fields
from vsr.training.engine.checkpoint import Checkpoint

logger = logging.getLogger(__name__)

FIXED = ("model.", "recipe", "seed", "lora")
"""Fields that give a checkpoint's tensors their meaning; a dot at the end includes all below."""
FREE = (
    "compile",
    "data.cache",
    "data.photo_memory",
    "data.prefetch",
    "data.workers",
    "device",
    "fsdp",
    "gradient_checkpointing",
    "keep",
    "log_every",
    "run",
    "save_every",
    "trackers",
    "validation.",
)
"""Fields that may change without a warning: the weights come out the same."""


def check_resumable(folder: Path, checkpoint: Checkpoint, config: TrainConfig) -> None:
    """Raise `ConfigError` if a run of `config` cannot resume from a checkpoint of another config.

    The fields in `FIXED` and the names of the stages up to the present one must be the same. Those
    in `FREE` may change. Any other change is logged as a warning, since the result is then that of
    neither config alone.
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
