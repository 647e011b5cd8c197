"""The state of key frames as bytes, for the work folder: a resumed run gives the same film."""

import json
from dataclasses import astuple, replace

import torch
from safetensors.torch import load, save

from vsr.propagation.far_flow import FarFlow
from vsr.propagation.key_places import Box, KeyBudget
from vsr.propagation.keyframes import KeyframeState
from vsr.propagation.keys import Key, Part, make_key

_FLOW = ("anchor", "there", "back", "confidence")
_HALF = 127.5


def state_to_bytes(state: KeyframeState) -> bytes:
    """Returns the state as bytes: a line of JSON, then safetensors."""
    tensors = {"last": state.last, "shown": state.shown}
    keys: list[dict[str, object]] = []
    for i, key in enumerate(state.keys):
        for n, part in enumerate(key.parts):
            tensors[f"{i}.{n}"] = torch.round(part.picture * _HALF + _HALF).to(torch.uint8)
        tensors |= {f"{i}.{name}": getattr(key.flow, name) for name in _FLOW}
        boxes = [None if part.box is None else astuple(part.box) for part in key.parts]
        keys.append({"number": key.number, "boxes": boxes, "rise": key.rise, "fall": key.fall})
    facts = {"frames": state.frames, "budget": astuple(state.budget), "keys": keys}
    stored = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    return json.dumps(facts).encode() + b"\n" + save(stored)


def state_from_bytes(
    data: bytes, device: torch.device, *, scale: int, sigma: float
) -> KeyframeState:
    """Returns the state of `state_to_bytes`, with its tensors on `device`."""
    line, _, rest = data.partition(b"\n")
    facts = json.loads(line)
    tensors = {name: tensor.to(device) for name, tensor in load(rest).items()}
    keys: list[Key] = []
    for i, fact in enumerate(facts["keys"]):
        flow = FarFlow(*(tensors[f"{i}.{name}"] for name in _FLOW))
        parts = [
            Part(tensors[f"{i}.{n}"].float() / _HALF - 1, None if box is None else Box(*box))
            for n, box in enumerate(fact["boxes"])
        ]
        key = make_key(fact["number"], flow.anchor, parts, scale=scale, sigma=sigma)
        fall = None if fact["fall"] is None else tuple(fact["fall"])
        keys.append(replace(key, flow=flow, rise=tuple(fact["rise"]), fall=fall))
    return KeyframeState(
        frames=facts["frames"],
        last=tensors["last"],
        shown=tensors["shown"],
        keys=tuple(keys),
        budget=KeyBudget(*facts["budget"]),
    )
