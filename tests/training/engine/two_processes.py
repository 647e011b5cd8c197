"""What two processes do in `test_processes.py`: torchrun starts this file in each of them."""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate.state import AcceleratorState
from torch import nn
from torch.distributed.fsdp import fully_shard

from tests.training.regression import Regression, config
from vsr.training.engine.ema import Ema
from vsr.training.engine.sharding import load_optimizer, load_whole, whole
from vsr.training.loop import run_training

STEPS, KILLED_AT = 20, 11
STAGE = {"name": "s", "steps": STEPS, "lr": 0.05, "warmup": 2}


def settings(run: Path, *, processes: int) -> Any:
    """The same 4 samples a step, whatever the number of processes."""
    stage = {**STAGE, "batch": 4 // processes}
    return config(run, stages=[stage], save_every=5, validation={"every": 99, "best": "psnr"})


def meet(name: Path) -> None:
    """Form a new group of both processes: a run dissolves its own at its end."""
    if dist.is_initialized():
        dist.destroy_process_group()
    store = dist.FileStore(f"{name}.store", 2)
    dist.init_process_group("gloo", store=store, rank=int(os.environ["RANK"]), world_size=2)
    AcceleratorState._reset_state(True)


def run(folder: Path, recipe: Regression) -> None:
    meet(folder)
    run_training(settings(folder, processes=2), recipe)


def train(folder: Path) -> None:
    whole_run = Regression(dropout=0)
    run(folder / "two", whole_run)
    numbers = folder / f"numbers_{os.environ['RANK']}.json"
    numbers.write_text(json.dumps(whole_run.numbers))
    with contextlib.suppress(KeyboardInterrupt):
        run(folder / "two_then_one", Regression(dropout=0, dies_at=KILLED_AT))
    run(folder / "one_then_two", Regression(dropout=0))


def network() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 6), nn.SiLU(), nn.Linear(6, 2))


def learn(model: nn.Module, optimizer: torch.optim.Optimizer, ema: Ema, *, step: int) -> None:
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
    model(x).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    ema.update(model)


def parts(model: nn.Module) -> tuple[torch.optim.Optimizer, Ema]:
    return torch.optim.AdamW(model.parameters(), lr=0.1), Ema(model, 0.9)


def shard() -> None:
    """A model that is spread over both processes is saved, loaded and trained as a whole one."""
    plain = network()
    optimizer, ema = parts(plain)
    for step in range(3):
        learn(plain, optimizer, ema, step=step)

    spread = network()
    _, spread_ema = parts(spread)
    fully_shard(spread)
    spread_optimizer, _ = parts(spread)
    spread_ema.follow(spread)
    for step in range(2):
        learn(spread, spread_optimizer, spread_ema, step=step)
    saved = whole([dict(spread.state_dict()), spread_ema.shadow, spread_optimizer.state_dict()])

    again = network()
    fully_shard(again)
    again_optimizer, again_ema = parts(again)
    load_whole(again, saved[0])
    again_ema.load(saved[1], updates=2)
    load_optimizer(again_optimizer, saved[2])
    learn(again, again_optimizer, again_ema, step=2)
    for name, value in whole(dict(again.state_dict())).items():
        torch.testing.assert_close(value, plain.state_dict()[name])
        torch.testing.assert_close(whole(again_ema.shadow[name]), ema.shadow[name])


if __name__ == "__main__":
    train(Path(sys.argv[1]))
    meet(Path(sys.argv[1], "shard"))
    shard()
    dist.destroy_process_group()
    # Caches of DTensor keep the group and its threads, which can abort the end of Python
    # (pytorch/pytorch#190489).
    os._exit(0)
