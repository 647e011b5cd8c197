"""Tensors that FSDP spreads over processes, whole again for a checkpoint, and back.

Every process must call these at the same time: each holds a part.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor


def whole(value: Any, *, keep: bool = True) -> Any:
    """A tensor, or a nest of mappings and lists of them, with spread ones gathered on the CPU.

    Where not `keep`, a gathered tensor is let go at once, and None stands in its place.
    """
    if isinstance(value, DTensor):
        gathered = value.full_tensor()
        return gathered.cpu() if keep else None
    if isinstance(value, dict):
        # in one order in all processes: optimisers list their states as gradients came
        return {key: whole(value[key], keep=keep) for key in sorted(value, key=str)}
    if isinstance(value, list):
        return [whole(item, keep=keep) for item in value]
    return value


def spread_like(value: Tensor, target: Tensor) -> Tensor:
    """`value`, which every process holds whole, spread as `target` is (if it is)."""
    if not isinstance(target, DTensor) or isinstance(value, DTensor):
        return value
    return distribute_tensor(
        value.to(target.device), target.device_mesh, target.placements, src_data_rank=None
    )


@torch.no_grad()
def load_whole(module: nn.Module, state: dict[str, Tensor]) -> None:
    """`load_state_dict` of whole tensors into a module whose own may be spread."""
    own = module.state_dict()
    module.load_state_dict({k: spread_like(v, own[k]) if k in own else v for k, v in state.items()})


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """`load_state_dict` of whole tensors into an optimiser of parameters that may be spread."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    numbers = [n for group in state["param_groups"] for n in group["params"]]
    spread = {
        number: {
            name: spread_like(value, parameter) if _shaped_like(value, parameter) else value
            for name, value in state["state"][number].items()
        }
        for number, parameter in zip(numbers, parameters, strict=True)
        if number in state["state"]
    }
    optimizer.load_state_dict({**state, "state": spread})


def _shaped_like(value: Any, parameter: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == parameter.shape
