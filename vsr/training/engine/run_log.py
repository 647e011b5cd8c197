"""The figures of a run: means and timings, written to metrics file, trackers and log."""

import logging
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from vsr.training.config import StageConfig
from vsr.training.engine.checkpoint import TrainingProgress
from vsr.training.engine.optim import learning_rate
from vsr.training.engine.record import Means, MetricsFile, Stopwatch

logger = logging.getLogger(__name__)


class RunLog:
    """Collects the figures of a run. All processes call it; the main one writes."""

    def __init__(self, run: Path, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.metrics = MetricsFile(run)
        self.watch, self.means = Stopwatch(), Means()

    def write_steps(self, progress: TrainingProgress, stage: StageConfig, *, samples: int) -> None:
        """Write the means since the last line, the speed and the share of time of each part.

        `samples`: drawn by all processes since the last line.
        """
        reduced: Any = self.accelerator.reduce(self.means.read(), "mean")
        means = {name: float(value) for name, value in reduced.items()}
        seconds = self.watch.read()
        whole = sum(seconds.values())
        values = {
            **means,
            "lr": learning_rate(progress.step - 1, stage),
            "samples_per_second": samples / whole,
            **{f"share_{part}": value / whole for part, value in seconds.items()},
            "gradient_norm": progress.mean_norm or 0.0,
            "skipped": progress.skipped,
        }
        named = {"stage": stage.name, "stage_step": progress.step, **values}
        self.write("train", named, step=progress.total)

    def write(self, kind: str, values: dict[str, Any], *, step: int) -> None:
        """Write figures to the metrics file, the trackers and the log."""
        if not self.accelerator.is_main_process:
            return
        self.metrics.write(kind, {"step": step, **values})
        numbers = {f"{kind}/{k}": v for k, v in values.items() if isinstance(v, int | float)}
        self.accelerator.log(numbers, step=step)
        shown = "  ".join(
            f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()
        )
        logger.info("%s %d  %s", kind, step, shown)
