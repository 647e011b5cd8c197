"""The records of a run: lines of metrics, and pictures."""

import json
import math
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor


class MetricsFile:
    """`metrics.jsonl` of a run: one JSON object per line, flushed at once."""

    def __init__(self, run: Path) -> None:
        run.mkdir(parents=True, exist_ok=True)
        self.path = run / "metrics.jsonl"

    def write(self, kind: str, values: Mapping[str, float | int | str]) -> None:
        """Append a line; numbers are rounded to five significant digits."""
        line = {"kind": kind, **{k: _rounded(v) for k, v in values.items()}}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


class Stopwatch:
    """Seconds spent in each named part since the last reading."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Generator[None]:
        """Add the duration of a `with` block to a part."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def read(self) -> dict[str, float]:
        """Return the seconds of each part and reset them."""
        seconds, self.seconds = self.seconds, {}
        return seconds


class Means:
    """Running means of named values since the last reading."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add one value for each name, without synchronising the device."""
        for name, value in values.items():
            value = value.detach().float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()
            self._counts[name] = self._counts.get(name, 0) + 1

    def read(self) -> dict[str, Tensor]:
        """Return the means and reset them."""
        means = {name: value / self._counts[name] for name, value in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, int | float | str | bool]:
    """A config in plain form as one mapping of dotted names, as trackers expect it."""
    found: dict[str, int | float | str | bool] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value if isinstance(value, int | float | bool) else str(value)
    return found


def save_comparison(
    path: Path,
    lr: Float[Tensor, "3 t h w"],
    output: Float[Tensor, "3 t 4*h 4*w"],
    hr: Float[Tensor, "3 t 4*h 4*w"],
) -> None:
    """Write a PNG: a row each for the first and the last frame, lr (enlarged) | output | hr."""
    height, width = hr.shape[-2:]
    large = F.interpolate(rearrange(lr, "c t h w -> t c h w"), (height, width), mode="nearest")
    columns = [rearrange(large, "t c h w -> c t h w"), output, hr]
    rows = [
        torch.cat([column[:, k].float().cpu() for column in columns], dim=-1)
        for k in sorted({0, hr.shape[1] - 1})
    ]
    sheet = torch.cat(rows, dim=-2).clamp(-1, 1).add(1).mul(127.5).round().byte()
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.ascontiguousarray(rearrange(sheet, "c h w -> h w c").numpy())
    _, data = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    path.write_bytes(data.tobytes())


def _rounded(value: float | int | str) -> float | int | str:
    if not isinstance(value, float) or not math.isfinite(value):
        return str(value) if isinstance(value, float) else value
    return float(f"{value:.5g}")
