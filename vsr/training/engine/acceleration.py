"""The accelerator of a config; unsupported settings are refused before the run starts."""

from typing import Any

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import (
    DistributedType,
    FullyShardedDataParallelPlugin,
    is_tensorboard_available,
    parse_flag_from_env,
)

from vsr.errors import ConfigError, DependencyError
from vsr.option_values import nearest
from vsr.training.config import TrainConfig

_USE_FSDP = "ACCELERATE_USE_FSDP"


def make_accelerator(config: TrainConfig) -> Accelerator:
    """The accelerator of a run: devices and processes as launched, the rest as configured.

    Raises `ConfigError` for a distribution method that this loop does not support, and
    `DependencyError` for a tracker that is not installed.
    """
    plugin = _fsdp_plugin(config)
    accelerator = Accelerator(
        mixed_precision=config.precision,
        cpu=config.device == "cpu",
        dynamo_backend="inductor" if config.compile else None,
        log_with=_trackers(config),
        project_dir=config.run,
        fsdp_plugin=plugin,
    )
    if plugin is not None and accelerator.distributed_type == DistributedType.MULTI_CPU:
        _shard_on_cpus(accelerator, plugin)
    kind = accelerator.distributed_type
    if kind == DistributedType.DEEPSPEED:
        raise ConfigError(
            "DeepSpeed moves the weights by itself, so that no step can be skipped and no run "
            "resumes to the bit; FSDP version 2 spreads as much (see docs/training.md)"
        )
    if kind == DistributedType.FSDP and config.recipe == "vae_decoder":
        raise ConfigError(
            "the recipe vae_decoder encodes outside of its forward pass, which FSDP cannot gather; "
            "leave FSDP out: its autoencoder fits on one GPU"
        )
    if kind == DistributedType.FSDP and not accelerator.is_fsdp2:
        raise ConfigError(
            "FSDP version 1 flattens parameters, and stages choose them by name; set fsdp_version: "
            "2 in accelerate's config"
        )
    return accelerator


def _fsdp_plugin(config: TrainConfig) -> FullyShardedDataParallelPlugin | None:
    """FSDP as `configs/accelerate/fsdp.yaml` sets it for `fsdp: true`, else as accelerate's config.

    Which layers are gathered one at a time, the model says, unless accelerate's config does.
    """
    if not config.fsdp:
        return FullyShardedDataParallelPlugin() if parse_flag_from_env(_USE_FSDP) else None
    return FullyShardedDataParallelPlugin(
        fsdp_version=2,
        reshard_after_forward=True,
        auto_wrap_policy="transformer_based_wrap",
        cpu_ram_efficient_loading=False,
    )


def _shard_on_cpus(accelerator: Accelerator, plugin: FullyShardedDataParallelPlugin) -> None:
    """Let accelerate shard over CPUs too, which gloo can; it ignores the plugin there."""
    if accelerator.mixed_precision != "no":
        plugin.set_mixed_precision(accelerator.mixed_precision)
    accelerator.state.fsdp_plugin = plugin
    accelerator.state.distributed_type = DistributedType.FSDP


def _trackers(config: TrainConfig) -> Any:
    if config.trackers is None:
        return ["tensorboard"] if is_tensorboard_available() else []
    for name in config.trackers:
        known = sorted(LOGGER_TYPE_TO_CLASS)
        if name not in known:
            raise ConfigError(
                f"trackers: unknown {name!r}{nearest(name, known)}; there are {', '.join(known)}"
            )
        if name not in [str(tracker) for tracker in get_available_trackers()]:
            raise DependencyError(f"trackers: {name} is not installed: pip install {name}")
    return list(config.trackers)
