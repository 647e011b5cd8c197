"""LoRA in training: adapters of a loaded network's linear layers, which alone train."""

import importlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from vsr.checkpoints.lora import Lora
from vsr.errors import ConfigError, DependencyError, install_extra
from vsr.training.config import LoraConfig

_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
"""Names of the layers that adapt a network which names none: projections of attention."""

_DOWN, _UP = ".lora_A.default.weight", ".lora_B.default.weight"


def add_adapters(model: nn.Module, config: LoraConfig) -> None:
    """Give layers adapters, which change nothing yet (peft, in place).

    Raises `ConfigError` as `layers_to_adapt` does, `DependencyError` if peft is not installed.
    """
    layers = list(layers_to_adapt(model, config))
    peft = _peft()
    settings = peft.LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=layers)
    peft.inject_adapter_in_model(settings, model)


def layers_to_adapt(model: nn.Module, config: LoraConfig) -> dict[str, nn.Linear]:
    """The linear layers in `targets` by name; without targets, the `lora_targets` of a network.

    Raises `ConfigError` for targets that are no linear layers.
    """
    own = [getattr(network, "lora_targets", None) for network in model.modules()]
    targets = config.targets or next((names for names in own if names), _ATTENTION)
    layers: dict[str, nn.Linear] = {}
    for name, layer in model.named_modules():
        if not _is_target(name, targets):
            continue
        if not isinstance(layer, nn.Linear):
            raise ConfigError(
                f"lora.targets: {name} is a {type(layer).__name__}; LoRA takes linear layers"
            )
        layers[name] = layer
    if not layers:
        linear = [n for n, layer in model.named_modules() if isinstance(layer, nn.Linear)]
        raise ConfigError(
            f"lora.targets: no layer is called {' or '.join(targets)}; linear layers are called "
            f"like {', '.join(linear[:4]) or 'none'}"
        )
    return layers


def is_adapter(name: str) -> bool:
    """True for the name of an adapter's tensor."""
    return name.endswith((_DOWN, _UP))


def adapters_of(weights: Mapping[str, Tensor], part: str, config: LoraConfig, name: str) -> Lora:
    """The adapters of one network of a run, such as `unet`, from the run's weights."""
    prefix = f"{part}."
    layers = [k.removesuffix(_DOWN) for k in weights if k.startswith(prefix) and k.endswith(_DOWN)]
    pairs = {
        layer.removeprefix(prefix): (weights[layer + _DOWN], weights[layer + _UP])
        for layer in layers
    }
    return Lora(name, pairs, config.alpha, config.rank)


def _is_target(name: str, targets: tuple[str, ...]) -> bool:
    return any(name == target or name.endswith(f".{target}") for target in targets)


def _peft() -> Any:
    try:
        return importlib.import_module("peft")
    except ImportError as error:
        raise DependencyError(
            f"lora needs peft, which is not installed: {install_extra('lora')}"
        ) from error
