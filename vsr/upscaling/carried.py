"""What a clip hands to the next one, as bytes: a run that was broken off goes on from them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from vsr.propagation.propagator import PropagationState
from vsr.upscaling.fallback import Reduced

_NUMBERS = "numbers"


def to_bytes(state: PropagationState | None, reduced: Reduced) -> bytes:
    """The state after a clip, and how much smaller than asked for it was made (safetensors)."""
    values = {} if state is None else {f.name: getattr(state, f.name) for f in fields(state)}
    tensors = {
        name: value.detach().cpu().contiguous()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }
    rest = {name: value for name, value in values.items() if name not in tensors}
    numbers = json.dumps({"state": None if state is None else rest, "reduced": asdict(reduced)})
    return save(
        tensors | {_NUMBERS: torch.frombuffer(bytearray(numbers, "ascii"), dtype=torch.uint8)}
    )


def from_bytes(data: bytes, device: torch.device) -> tuple[PropagationState | None, Reduced]:
    """The inverse of `to_bytes`, with tensors on `device`."""
    tensors = load(data)
    numbers: Mapping[str, Any] = json.loads(bytes(tensors.pop(_NUMBERS).tolist()))
    reduced = Reduced(**numbers["reduced"])
    if numbers["state"] is None:
        return None, reduced
    moved = {name: tensor.to(device) for name, tensor in tensors.items()}
    return PropagationState(**moved, **numbers["state"]), reduced
