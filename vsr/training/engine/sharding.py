"""Gathers the tensors that FSDP shards, for checkpoints, and shards loaded ones.

All processes must call these functions together: each holds one shard.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor


def whole(value: Any, *, keep: bool = True) -> Any:
    """A tensor, or nested dicts and lists of tensors, with sharded ones gathered on the CPU.

    With `keep=False`, a gathered tensor is freed at once and replaced by None.
    """
    if isinstance(value, DTensor):
        gathered = value.full_tensor()
        return gathered.cpu() if keep else None
    if isinstance(value, dict):
        # the same order in all processes: optimisers list states in the order of first gradients
        return {key: whole(value[key], keep=keep) for key in sorted(value, key=str)}
    if isinstance(value, list):
        return [whole(item, keep=keep) for item in value]
    return value


def spread_like(value: Tensor, target: Tensor) -> Tensor:
    """`value`, which every process holds whole, sharded like `target` (if that is sharded)."""
    if not isinstance(target, DTensor) or isinstance(value, DTensor):
        return value
    return distribute_tensor(
        value.to(target.device), target.device_mesh, target.placements, src_data_rank=None
    )


@torch.no_grad()
def load_whole(module: nn.Module, state: dict[str, Tensor]) -> None:
    """`load_state_dict` of unsharded tensors into a module that may be sharded."""
    own = module.state_dict()
    module.load_state_dict({k: spread_like(v, own[k]) if k in own else v for k, v in state.items()})


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """`load_state_dict` of unsharded tensors into an optimiser whose parameters may be sharded."""
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
