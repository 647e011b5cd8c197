"""What two processes do in `test_processes.py`: torchrun starts this file in each of them."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from tests.seedvr import small_dit
from tests.training.regression import Regression, config
from tests.training.small import UNET
from vsr.models.seedvr.block import TransformerBlock
from vsr.models.unet import UNetVideoModel
from vsr.training.engine.acceleration import make_accelerator
from vsr.training.engine.sharding import layers_to_shard, shard, whole
from vsr.training.loop import run_training

STEPS, KILLED_AT, KILLED_AGAIN_AT = 20, 11, 6
STAGE = {"name": "s", "steps": STEPS, "lr": 0.05, "warmup": 2}


def settings(run: Path, *, processes: int, fsdp: bool = False) -> Any:
    """The same 4 samples a step, whatever the number of processes."""
    stage = {**STAGE, "batch": 4 // processes}
    validation = {"every": 99, "best": "psnr"}
    return config(run, stages=[stage], save_every=5, validation=validation, fsdp=fsdp)


def meet(name: Path) -> None:
    """Form a new group of both processes: a run dissolves its own at its end."""
    if dist.is_initialized():
        dist.destroy_process_group()
    store = dist.FileStore(f"{name}.store", 2)
    dist.init_process_group("gloo", store=store, rank=int(os.environ["RANK"]), world_size=2)
    AcceleratorState._reset_state(True)


@contextlib.contextmanager
def alone() -> Iterator[bool]:
    """Inside, the first process trains as if nobody had launched it; False in the other one."""
    dist.destroy_process_group()
    AcceleratorState._reset_state(True)
    launched = {name: os.environ.pop(name) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}
    try:
        yield launched["RANK"] == "0"
    finally:
        os.environ.update(launched)


def run(folder: Path, recipe: Regression, *, fsdp: bool = False, meeting: str = "") -> None:
    meet(folder.with_name(folder.name + meeting))
    with contextlib.suppress(KeyboardInterrupt):
        run_training(settings(folder, processes=2, fsdp=fsdp), recipe)


def train(folder: Path) -> None:
    whole_run = Regression(dropout=0)
    run(folder / "two", whole_run)
    numbers = folder / f"numbers_{os.environ['RANK']}.json"
    numbers.write_text(json.dumps(whole_run.numbers))
    run(folder / "two_then_one", Regression(dropout=0, dies_at=KILLED_AT))
    run(folder / "one_then_two", Regression(dropout=0))


def train_sharded(folder: Path) -> None:
    """Runs of two processes by FSDP: whole; continued from one; and by one, then by two again."""
    run(folder / "fsdp", Regression(dropout=0), fsdp=True)
    run(folder / "one_then_fsdp", Regression(dropout=0), fsdp=True)
    back = folder / "fsdp_one_fsdp"
    run(back, Regression(dropout=0, dies_at=KILLED_AT), fsdp=True)
    with alone() as is_first:
        if is_first:
            with contextlib.suppress(KeyboardInterrupt):
                dying = Regression(dropout=0, dies_at=KILLED_AGAIN_AT + 1)
                run_training(settings(back, processes=1), dying)
    run(back, Regression(dropout=0), fsdp=True, meeting="_again")


class Denoiser(nn.Module):
    """A network as recipes hold it: one part of a module."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self.network(*inputs, **named)


def denoised(model: nn.Module) -> Tensor:
    """The output of the U-Net or of SeedVR's transformer for the same input."""
    generator = torch.Generator().manual_seed(0)
    network: Any = model
    if isinstance(network.network, UNetVideoModel):
        latents = torch.randn(1, 48, 2, 8, 8, generator=generator)
        low_res = torch.randn(1, 3, 2, 8, 8, generator=generator)
        label = torch.zeros(1, dtype=torch.long)
        return model(latents, torch.tensor(3), low_res=low_res, class_labels=label).sample
    video = torch.randn(2, 2, 4, 4, 16, generator=generator)
    return model(*video, torch.randn(5, 48, generator=generator), 500.0)


def shard_networks(folder: Path) -> None:
    """Sharded networks give the outputs and gradients of whole ones, layer by layer."""
    for name, make, layers in (
        ("unet", lambda: UNetVideoModel(**UNET), ("ResnetBlock", "TemporalBlock")),
        ("dit", lambda: small_dit("3b"), (TransformerBlock.__name__,)),
    ):
        meet(folder / name)
        torch.manual_seed(5)
        plain = Denoiser(make())
        torch.manual_seed(5)
        sharded = Denoiser(make())
        assert set(layers) <= set(layers_to_shard(sharded))
        shard(sharded, make_accelerator(settings(folder / name, processes=2, fsdp=True)))
        for layer in sharded.modules():
            assert isinstance(layer, FSDPModule) or type(layer).__name__ not in layers
        outputs = [denoised(model) for model in (plain, sharded)]
        torch.testing.assert_close(*outputs)
        for output in outputs:
            output.square().mean().backward()
        gradients = dict(plain.named_parameters())
        for key, parameter in sharded.named_parameters():
            wanted = gradients[key].grad
            assert (wanted is None) == (parameter.grad is None)
            if wanted is not None and parameter.grad is not None:
                torch.testing.assert_close(whole(parameter.grad), wanted)


if __name__ == "__main__":
    for name in sys.argv[2:]:
        {"train": train, "train_sharded": train_sharded, "shard_networks": shard_networks}[name](
            Path(sys.argv[1])
        )
    if dist.is_initialized():
        dist.destroy_process_group()
    # Caches of DTensor keep the group and its threads, which can abort the end of Python
    # (pytorch/pytorch#190489).
    os._exit(0)
