"""Models that FSDP2 shards over the processes, and the files of their shards.

All processes must call these functions together: each holds one shard.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.tensor import DTensor, distribute_tensor


def shard(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    """The model, sharded in place layer by layer; accelerate may wrap it to compile it.

    The networks inside name the layers that FSDP gathers one at a time, as diffusers' models do.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.contiguous()  # FSDP2 takes no channels_last weights
    named: Any = model
    named._no_split_modules = layers_to_shard(model)
    # accelerate takes no model without an optimizer; each stage makes its own later
    wrapped, _ = accelerator.prepare(model, torch.optim.SGD(model.parameters()))
    accelerator.free_memory()
    return wrapped


def layers_to_shard(model: nn.Module) -> list[str]:
    """The classes of layers that the networks in a model name, as far as it has such layers."""
    named = {
        name
        for network in model.modules()
        for name in getattr(network, "_no_split_modules", None) or ()
    }
    return sorted(named & {type(layer).__name__ for layer in model.modules()})


def is_sharded(tensors: Mapping[str, Tensor]) -> bool:
    """True if the tensors of a model are shards."""
    return any(isinstance(tensor, DTensor) for tensor in tensors.values())


def whole(tensor: Tensor) -> Tensor:
    """A tensor, gathered if it is sharded."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def spread_like(value: Tensor, target: Tensor) -> Tensor:
    """`value`, which every process holds whole, sharded like `target` (if that is sharded)."""
    if not isinstance(target, DTensor) or isinstance(value, DTensor):
        return value
    return distribute_tensor(
        value.to(target.device), target.device_mesh, target.placements, src_data_rank=None
    )


def write_shards(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file for each process; raises `RuntimeError` in all if one cannot."""
    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    try:
        dcp.save(dict(tensors), storage_writer=writer)
    except CheckpointException as error:
        raise _cause(error) from error


def read_shards(folder: Path, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a folder of shards, whatever the number of processes that wrote them.

    They are called PART/PARAMETER or PART/PARAMETER/KEY. A tensor is sharded and placed like the
    parameter in `like`, if it has its shape; others are whole. Raises `RuntimeError` in all
    processes if one cannot read.
    """
    reader = HuggingFaceStorageReader(str(folder))
    tensors: dict[str, Tensor] = {}
    for name, stored in reader.read_metadata().state_dict_metadata.items():
        assert not isinstance(stored, dcp.BytesStorageMetadata), "safetensors hold tensors alone"
        tensors[name] = _empty(stored.size, stored.properties.dtype, like.get(name.split("/")[1]))
    with warnings.catch_warnings(action="ignore"):  # a single process is no mistake
        try:
            dcp.load(tensors, storage_reader=reader)
        except CheckpointException as error:
            raise _cause(error) from error
    return tensors


@torch.no_grad()
def load_tensors(module: nn.Module, state: Mapping[str, Tensor], *, strict: bool = True) -> None:
    """`load_state_dict` of whole or sharded tensors into a module that may be sharded."""
    own = module.state_dict()
    values = {k: spread_like(v, own[k]) if k in own else v for k, v in state.items()}
    module.load_state_dict(values, strict=strict)


def optimizer_by_name(
    optimizer: torch.optim.Optimizer, model: nn.Module
) -> dict[str, dict[str, Tensor]]:
    """The tensors that an optimiser keeps for each parameter, by the parameter's name."""
    states = optimizer.state
    return {name: dict(states[p]) for name, p in model.named_parameters() if p in states}


def load_optimizer(
    optimizer: torch.optim.Optimizer, state: Mapping[str, Any], model: nn.Module
) -> None:
    """Load `optimizer.state_dict()` or `optimizer_by_name` of a run of any number of processes."""
    if "param_groups" not in state:
        for name, parameter in model.named_parameters():
            if name in state:
                optimizer.state[parameter] = dict(state[name])
        return
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


def _empty(size: torch.Size, dtype: torch.dtype, like: Tensor | None) -> Tensor:
    if like is not None and like.shape == size:
        return torch.empty_like(like, dtype=dtype, requires_grad=False)
    return torch.empty(size, dtype=dtype, device=None if like is None else like.device)


def _cause(error: CheckpointException) -> RuntimeError:
    """The first process's error as an exception; `CheckpointException` is none."""
    reasons = [str(reason) or type(reason).__name__ for reason, _ in error.failures.values()]
    return RuntimeError(reasons[0] if reasons else str(error))


def _shaped_like(value: Any, parameter: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == parameter.shape
