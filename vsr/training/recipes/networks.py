"""The networks that a run trains: their shapes, and the weights that they start from."""

import dataclasses
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vsr.checkpoints.compact import compact_unet, compact_vae, init_from_srvgg
from vsr.checkpoints.find import embedded_models
from vsr.checkpoints.index import INDEX
from vsr.checkpoints.lora import merge_lora
from vsr.errors import ConfigError, ModelError
from vsr.models.load_network import load_network
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo
from vsr.training.config import ModelConfig, TrainConfig
from vsr.training.config_file import build_train_config, differing_fields
from vsr.training.engine.adapters import adapters_of
from vsr.training.engine.checkpoint import Checkpoint, find_checkpoint, load_checkpoint

Networks = tuple[UNetVideoModel, AutoencoderKLVideo]

_KINDS: Mapping[str, Any] = {"unet": UNetVideoModel, "vae": AutoencoderKLVideo}


def with_shapes_of_init(config: TrainConfig) -> TrainConfig:
    """The config with the shapes of the networks in `init`, if that is a folder.

    The returned config alone describes the networks, so that a checkpoint can be loaded without the
    folder. Raises `ConfigError` if the config's shapes differ from those of the folder.
    """
    if config.init is None or not named_path(config.init).is_dir():
        return config
    found = _shapes(named_path(config.init))
    for name in _KINDS:
        asked, held = getattr(config.model, name), getattr(found, name)
        if asked and (wrong := differing_fields(_in_full(asked, name), _in_full(held, name))):
            raise ConfigError(
                f"model.{name} differs from the network in {config.init} in {', '.join(wrong)}; "
                "leave it out: the folder says what its networks are"
            )
    return dataclasses.replace(config, model=found)


def initial_networks(config: TrainConfig) -> Networks:
    """U-Net and autoencoder of a config, with the weights of its `init` if it has one.

    `init` is a model folder, a run folder (its newest checkpoint), a checkpoint, or a file with an
    image network that becomes the spatial layers. Averaged weights are preferred.
    Raises `ConfigError` for unknown keys or a missing `init`, `ModelError` for weights that do not
    fit.
    """
    if config.init is None:
        return build_networks(config.model)
    source = named_path(config.init)
    if source.is_dir():
        return load_networks(source)
    unet, vae = build_networks(config.model)
    init_from_srvgg(unet, existing_file(config.init, "init"))
    return unet, vae


def build_networks(config: ModelConfig) -> Networks:
    """U-Net and autoencoder with fresh weights, shaped like `compact` if the config is empty."""
    return (
        _build_network(UNetVideoModel, config.unet, "unet") if config.unet else compact_unet(),
        _build_network(AutoencoderKLVideo, config.vae, "vae") if config.vae else compact_vae(),
    )


def load_networks(source: Path) -> Networks:
    """U-Net and autoencoder, in float32, of a model folder, a run or a checkpoint.

    A network that a run did not train has the weights with which that run began; adapters are
    merged.
    """
    if (source / INDEX).is_file():
        unet, vae = (load_network(kind, source / name) for name, kind in _KINDS.items())
        return unet.float(), vae.float()
    return trained_networks(load_checkpoint(find_checkpoint(source)), source)


def trained_networks(checkpoint: Checkpoint, source: Path) -> Networks:
    """U-Net and autoencoder, in float32, of a checkpoint in memory; `source` names it in errors."""
    config, weights = build_train_config(checkpoint.config), checkpoint.result
    if config.lora is not None:
        return _with_adapters(config, weights, source)
    unet, vae = build_networks(config.model)
    for name, network in (("unet", unet), ("vae", vae)):
        prefix = f"{name}."
        part = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        part = part or _at_start(config)[name].state_dict()
        load_weights(network, part, source)
    return unet, vae


def _with_adapters(config: TrainConfig, weights: Mapping[str, Any], source: Path) -> Networks:
    """The networks that a run of adapters began with, changed by these."""
    assert config.lora is not None, "a run of adapters"
    unet, vae = initial_networks(config)
    for name, network in (("unet", unet), ("vae", vae)):
        merge_lora(network, adapters_of(weights, name, config.lora, str(source)))
    return unet, vae


def load_weights(network: nn.Module, weights: Mapping[str, Any], source: Path) -> None:
    """Load the weights of a run; raises `ModelError` where they are those of another network."""
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"the weights of {source} do not fit its config: {reason}") from error


def model_folder_of(source: Path) -> Path:
    """The model folder at the start of a chain of runs; it has the schedulers and the text encoder.

    Raises `ConfigError` if the chain starts with something else.
    """
    if (source / INDEX).is_file():
        return source
    if source.is_dir():
        init = _config_of(source).init
        if init is not None:
            return model_folder_of(named_path(init))
    raise ConfigError(f"{source} goes back to no model folder; init must be one, or a run from one")


def named_path(name: str) -> Path:
    """The file or folder at a path, or the embedded model of that name."""
    path = Path(name)
    return path if path.exists() else embedded_models().get(name, path)


def existing_file(name: str, key: str) -> Path:
    """The file of `named_path`; `ConfigError` with the `key` of the config if there is none."""
    path = named_path(name)
    if not path.is_file():
        raise ConfigError(
            f"{key}: no file {name!r}; name an embedded model, a file that spandrel loads, "
            + ("a model folder, a run, or null" if key == "init" else "or null")
        )
    return path


def _shapes(source: Path) -> ModelConfig:
    if not (source / INDEX).is_file():
        return _config_of(source).model
    configs: dict[str, dict[str, Any]] = {}
    for name, kind in _KINDS.items():
        try:
            values = kind.load_config(source / name)
        except (OSError, ValueError) as error:
            raise ModelError(f"{source} has no {name}/config.json that can be read") from error
        configs[name] = {k: v for k, v in values.items() if not k.startswith("_")}
    return ModelConfig(**configs)


def _at_start(config: TrainConfig) -> dict[str, nn.Module]:
    """The networks at the start of a run of the config; fresh weights are drawn from its seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return dict(zip(_KINDS, initial_networks(config), strict=True))


def _in_full(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The values of a network's config with all defaults, as YAML stores them."""
    parameters = inspect.signature(_KINDS[name].__init__).parameters.values()
    known = {p.name: p.default for p in parameters if p.name != "self"}
    with torch.device("meta"):
        compact = {"unet": compact_unet, "vae": compact_vae}[name]().config
    own = values or {key: compact[key] for key in known}
    plain = {**known, **own}
    return {key: list(v) if isinstance(v, list | tuple) else v for key, v in plain.items()}


def _config_of(source: Path) -> TrainConfig:
    """The config that a run or a checkpoint was made with."""
    about = json.loads((find_checkpoint(source) / "state.json").read_text(encoding="utf-8"))
    return build_train_config(about["config"])


def _build_network(kind: Any, values: dict[str, Any], where: str) -> Any:
    known = list(inspect.signature(kind.__init__).parameters)[1:]
    for key in values:
        if key not in known:
            raise ConfigError(f"model.{where}: unknown key {key!r}; there are {', '.join(known)}")
    return kind(**values)
