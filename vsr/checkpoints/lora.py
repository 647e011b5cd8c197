"""LoRA: changes of low rank to the linear layers of a network, in the files of peft."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vsr.checkpoints.index import read_object
from vsr.errors import ModelError
from vsr.models.weight_files import read_state, write_state

WEIGHTS, SETTINGS = "adapter_model.safetensors", "adapter_config.json"
"""The files of an adapter folder, by their names in peft."""

_PREFIX = "base_model.model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_UNKNOWN_SETTINGS = ("use_dora", "alpha_pattern", "megatron_config", "layer_replication")
"""Settings of peft that change what the tensors mean; false or empty in a plain LoRA."""


@dataclass(frozen=True, slots=True)
class Lora:
    """The change of each layer, `alpha` / rank times up @ down (Hu et al. 2021), by layer name."""

    name: str
    """The file or run, for messages."""
    pairs: Mapping[str, tuple[Tensor, Tensor]]
    """Down, `rank inputs`, and up, `outputs rank`."""
    alpha: float
    rank: int
    is_rank_stabilized: bool = False
    """The factor is alpha / sqrt(rank) then (Kalajdzievski 2023)."""

    def change(self, layer: str) -> Tensor:
        """The change of a layer's weight, in float32."""
        down, up = (tensor.float() for tensor in self.pairs[layer])
        rank = len(down)
        return self.alpha / (math.sqrt(rank) if self.is_rank_stabilized else rank) * (up @ down)


def lora_files(path: Path) -> tuple[Path, Path]:
    """The weights and the settings of a LoRA: a file of peft, or the folder that holds it."""
    weights = path / WEIGHTS if path.is_dir() else path
    return weights, weights.with_name(SETTINGS)


def read_lora(path: Path) -> Lora:
    """A LoRA from peft's files; raises ModelError for one that is missing, damaged or no LoRA."""
    weights, settings = lora_files(path)
    tensors = read_state(weights)
    if not settings.is_file():
        raise ModelError(f"{weights} has no {SETTINGS} beside it, which holds its alpha: copy both")
    values = read_object(settings)
    for name in _UNKNOWN_SETTINGS:
        if values.get(name):
            raise ModelError(f"{settings} sets {name}, and only plain LoRA can be used")
    alpha, rank = values.get("lora_alpha"), values.get("r")
    if not isinstance(alpha, int | float) or not isinstance(rank, int):
        raise ModelError(f"{settings} has no numbers lora_alpha and r, as peft writes them")
    stabilized = bool(values.get("use_rslora"))
    return Lora(str(path), _pairs(tensors, weights), alpha, rank, stabilized)


def write_lora(lora: Lora, folder: Path) -> None:
    """Write a LoRA as peft does, so that it and diffusers read it too."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for layer, (down, up) in lora.pairs.items():
        tensors |= {f"{_PREFIX}{layer}{_DOWN}": down, f"{_PREFIX}{layer}{_UP}": up}
    write_state(tensors, folder / WEIGHTS)
    settings: dict[str, Any] = {
        "peft_type": "LORA",
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "use_rslora": lora.is_rank_stabilized,
        "target_modules": sorted(lora.pairs),
        "bias": "none",
        "inference_mode": True,
    }
    (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


@torch.no_grad()
def merge_lora(network: nn.Module, lora: Lora, weight: float = 1.0) -> None:
    """Add `weight` times a LoRA to a network's weights.

    Raises ModelError, and leaves the network as it was, if the LoRA is of another network.
    """
    parameters = dict(network.named_parameters())
    for layer, (down, up) in lora.pairs.items():
        target = parameters.get(f"{layer}.weight")
        if target is None:
            raise ModelError(
                f"{lora.name} is a LoRA of another model: it changes the layer {layer}, which this "
                f"{type(network).__name__} lacks"
            )
        shape = (up.shape[0], down.shape[-1])
        if tuple(target.shape) != shape:
            raise ModelError(
                f"{lora.name} is a LoRA of another model: its change of {layer} has shape {shape}, "
                f"and the layer {tuple(target.shape)}"
            )
    for layer in lora.pairs:
        target = parameters[f"{layer}.weight"]
        change = weight * lora.change(layer).to(target.device)
        target.copy_((target.float() + change).to(target.dtype))


def _pairs(tensors: Mapping[str, Tensor], path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Down and up of each layer; raises ModelError for tensors that are not those of a LoRA."""
    layers = [key[: -len(end)] for key in tensors for end in (_DOWN, _UP) if key.endswith(end)]
    pairs: dict[str, tuple[Tensor, Tensor]] = {}
    for layer in dict.fromkeys(layers):
        found = [tensors.get(f"{layer}{end}") for end in (_DOWN, _UP)]
        down, up = found
        matches = down is not None and up is not None and down.ndim == up.ndim == 2
        if down is None or up is None or not matches or up.shape[1] != len(down):
            raise ModelError(f"{path} is no whole LoRA: down and up of {layer} do not fit together")
        pairs[layer.removeprefix(_PREFIX)] = down, up
    other = [key for key in tensors if not key.endswith((_DOWN, _UP))]
    if other or not pairs or not all(layer.startswith(_PREFIX) for layer in layers):
        odd = (other or list(tensors))[0]
        raise ModelError(
            f"{path} is no LoRA of peft: it holds {odd}, and tensors can be called "
            f"{_PREFIX}LAYER{_DOWN} and {_PREFIX}LAYER{_UP}"
        )
    return pairs
