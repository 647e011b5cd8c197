"""A small real network that learns a plane, and the config of a short run of it."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from vsr.training.config import StageConfig, TrainConfig
from vsr.training.config_file import build_train_config
from vsr.training.data.sampler import Numbered

STEPS = (9, 7)


class Lines(Dataset[dict[str, Tensor]]):
    """Points of a plane, by number."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        x = torch.randn(4, generator=torch.Generator().manual_seed(index))
        return {"x": x, "y": x.sum()[None] + 1}


class Regression:
    """A small real network that learns the points; some steps can be made to explode."""

    def __init__(
        self,
        *,
        dies_at: int | None = None,
        explodes: Any = lambda number: False,
        dropout: float = 0.1,
    ):
        torch.manual_seed(3)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Dropout(dropout), nn.Linear(8, 1))
        self.dies_at, self.explodes, self.calls = dies_at, explodes, 0
        self.numbers: list[int] = []

    def dataset(self, stage: StageConfig) -> Dataset[dict[str, Tensor]]:
        return Numbered(Lines())

    def terms(self, model: nn.Module, batch: Any, stage: StageConfig) -> dict[str, Tensor]:
        self.calls += 1
        self.numbers += batch["index"].tolist()
        if self.calls == self.dies_at:
            raise KeyboardInterrupt
        scale = torch.inf if self.explodes(int(batch["index"][0])) else 1.0
        return {"pixel": F.mse_loss(model(batch["x"]), batch["y"]) * scale}

    def validate(self, model: nn.Module, run_step: int) -> dict[str, float]:
        batch = Numbered(Lines())[10_000]
        return {"psnr": -float((model(batch["x"]) - batch["y"]).square())}


def config(run: Path, **changes: Any) -> TrainConfig:
    stages = [
        {"name": f"s{i}", "steps": n, "batch": 2, "accumulate": 2, "lr": 0.05, "warmup": 2}
        for i, n in enumerate(STEPS)
    ]
    values: dict[str, Any] = {
        "stages": stages,
        "run": str(run),
        "device": "cpu",
        "precision": "no",
        "data": {"workers": 0},
        "validation": {"every": 6, "best": "psnr"},
        "log_every": 1,
        "save_every": 4,
    }
    return build_train_config({**values, **changes})
