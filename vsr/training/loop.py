"""The training loop, the same for every recipe: stages, accumulation, EMA, checkpoints, resume."""

import logging
import math
import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import cv2
import torch
import yaml
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader

from vsr.errors import VsrError
from vsr.runtime.memory import keep_freed_memory
from vsr.training.config import LossWeights, StageConfig, TrainConfig
from vsr.training.config_file import config_to_dict
from vsr.training.data.sampler import NumberedBatches
from vsr.training.engine.acceleration import make_accelerator
from vsr.training.engine.checkpoint import TrainingProgress, save_best
from vsr.training.engine.optim import learning_rate, set_learning_rate
from vsr.training.engine.recipe import AdversarialRecipe, Batch, Recipe
from vsr.training.engine.record import Means, MetricsFile, Stopwatch, flat
from vsr.training.engine.sharding import whole
from vsr.training.engine.state import TrainingState
from vsr.training.recipes.build import completed, make_recipe

logger = logging.getLogger(__name__)

RAMPED = ("perceptual", "prior_features")
"""Terms whose weights rise over `StageConfig.ramp` steps."""
CRITIC_TERMS = ("adversarial", "matching")
"""Terms that come from a critic; they rise likewise, after its warm-up."""
LOWER_IS_BETTER = ("features", "loss", "tdiff")
"""Validation figures that fall as the model gets better."""


def run_training(config: TrainConfig, recipe: Recipe | None = None) -> Path:
    """Train all stages of a config, from the newest checkpoint of the run folder if it has one.

    SIGTERM and Ctrl-C write a checkpoint before the run ends. Returns the run folder.
    Raises `ConfigError` when the run folder holds a run of other networks.
    """
    config = completed(config)
    accelerator = make_accelerator(config)
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    torch.manual_seed(config.seed)  # the same fresh weights in every process
    return Trainer(config, recipe or make_recipe(config, accelerator.device), accelerator).train()


class DivergedError(Exception):
    """Several steps in a row exploded; the run goes back to its last checkpoint."""


class Trainer:
    """A run in progress: its state, its recipe and its records."""

    def __init__(self, config: TrainConfig, recipe: Recipe, accelerator: Accelerator) -> None:
        self.config, self.recipe, self.accelerator = config, recipe, accelerator
        self.run = Path(config.run)
        self.state = TrainingState(config, recipe, accelerator)
        self.metrics = MetricsFile(self.run)
        self.watch, self.means = Stopwatch(), Means()
        self.stopping = threading.Event()

    @property
    def progress(self) -> TrainingProgress:
        """The position of the run."""
        return self.state.progress

    def train(self) -> Path:
        """Run the remaining stages."""
        self.state.seed()
        plain = config_to_dict(self.config)
        self.accelerator.init_trackers("tensorboard", config=flat(plain))
        if self.accelerator.is_main_process:
            (self.run / "config.yaml").write_text(yaml.safe_dump(plain, sort_keys=False))
        if not self.state.resume():
            self.state.save()
        with _stopped_by_signals(self.stopping):
            while self.progress.stage < len(self.config.stages) and not self.stopping.is_set():
                try:
                    self.run_stage(self.config.stages[self.progress.stage])
                except DivergedError:
                    self.go_back()
        self.accelerator.end_training()
        return self.run

    def run_stage(self, stage: StageConfig) -> None:
        """Train one stage from where the progress stands to its end, or to a signal."""
        model = self.state.begin_stage(stage)
        batches = iter(self.loader(stage))
        self.watch.read()
        try:
            while self.progress.step < stage.steps:
                self.step(model, batches, stage)
                self.after_step(stage)
                if self.is_stopping():
                    self.state.save()
                    return
        finally:
            self.state.end_stage(model)
        self.progress.stage += 1
        self.progress.step = self.progress.position = 0
        self.progress.mean_norm = self.progress.critic_mean_norm = None
        self.state.save()

    def step(self, model: nn.Module, batches: Iterator[Batch], stage: StageConfig) -> None:
        """One optimiser step over `accumulate` micro-batches, skipped when it explodes."""
        critic = self.state.critic_of(stage)
        for micro in range(stage.accumulate):
            last = micro == stage.accumulate - 1
            with self.watch.part("data"):
                batch = _to(next(batches), self.accelerator.device)
            with nullcontext() if last else self.accelerator.no_sync(model):
                with self.watch.part("forward"), critic.frozen() if critic else nullcontext():
                    terms = self.recipe.terms(model, batch, stage)
                    loss = self.total(terms, stage)
                with self.watch.part("backward"):
                    self.accelerator.backward(loss / stage.accumulate)
            self.means.add({"loss": loss, **terms})
            if critic is not None:
                with self.watch.part("critic"):
                    self.critic_step(batch, stage)
        with self.watch.part("update"):
            self.update(stage)
        self.progress.step += 1
        self.progress.total += 1
        self.progress.position += self.samples_per_step(stage)

    def critic_step(self, batch: Batch, stage: StageConfig) -> None:
        """Gradients of the critic's loss on a micro-batch."""
        assert isinstance(self.recipe, AdversarialRecipe), "only these have a critic"
        terms = self.recipe.critic_terms(batch, stage)
        (torch.stack(list(terms.values())).sum() / stage.accumulate).backward()
        self.means.add(terms)

    def update(self, stage: StageConfig) -> None:
        """Move the weights and their average unless a gradient explodes."""
        state, progress, critic = self.state, self.progress, self.state.critic_of(stage)
        optimizer, config = state.optimizer, self.config.optimizer
        assert optimizer is not None, "a stage has begun"
        rate = learning_rate(progress.step, stage)
        norm = self.gradient_norm()
        critic_norm = critic.finish_gradients(config.clip_norm) if critic else 0.0
        fine = self.is_usual(norm, progress.mean_norm)
        if fine and self.is_usual(critic_norm, progress.critic_mean_norm):
            set_learning_rate(optimizer, rate)
            optimizer.step()
            state.ema.update(state.model)
            progress.ema_updates = state.ema.updates
            progress.mean_norm = _moved_mean(progress.mean_norm, norm)
            if critic is not None and stage.critic is not None:
                critic.step(rate * stage.critic.lr / stage.lr)
                progress.critic_mean_norm = _moved_mean(progress.critic_mean_norm, critic_norm)
            progress.skipped_in_row = 0
        elif not self.overflowed(norm):
            progress.skipped += 1
            progress.skipped_in_row += 1
            logger.warning("step %d skipped: gradient norm %g", progress.total, norm)
        optimizer.zero_grad(set_to_none=True)
        if critic is not None:
            critic.forget_gradients()
        if progress.skipped_in_row >= config.patience:
            raise DivergedError

    def gradient_norm(self) -> float:
        """The norm of the model's gradients, which are clipped."""
        parameters = [p for p in self.state.model.parameters() if p.requires_grad]
        norm = self.accelerator.clip_grad_norm_(parameters, self.config.optimizer.clip_norm)
        return math.nan if norm is None else float(whole(norm))

    def overflowed(self, norm: float) -> bool:
        """True if the fp16 loss scale made the gradients overflow; the scale is then halved.

        The scale starts high and is reduced in this way. Below 1, the loss itself is the cause.
        """
        scaler = self.accelerator.scaler
        if scaler is None:
            return False
        high = scaler.get_scale() >= 1
        scaler.update()
        return high and not math.isfinite(norm)

    def is_usual(self, norm: float, mean: float | None) -> bool:
        """True if a gradient norm is finite and not far above its running mean."""
        config = self.config.optimizer
        limit = math.inf if mean is None else config.explosion * max(mean, config.clip_norm)
        return math.isfinite(norm) and norm <= limit

    def total(self, terms: dict[str, Tensor], stage: StageConfig) -> Tensor:
        """The weighted sum of the terms, the feature terms ramped in."""
        weights = {f.name: getattr(stage.weights, f.name) for f in fields(LossWeights)}
        return torch.stack(
            [
                weights[name] * self.ramp(name, stage) * term
                for name, term in terms.items()
                if weights[name]
            ]
        ).sum()

    def ramp(self, name: str, stage: StageConfig) -> float:
        """Factor on a term at this step; 0 for the critic's terms during its warm-up."""
        begin = stage.critic.head_start if stage.critic is not None and name in CRITIC_TERMS else 0
        if self.progress.step < begin:
            return 0.0
        if not stage.ramp or name not in (*RAMPED, *CRITIC_TERMS):
            return 1.0
        return min(1.0, (self.progress.step - begin + 1) / stage.ramp)

    def after_step(self, stage: StageConfig) -> None:
        """Write metrics, validate and save a checkpoint, as far as they are due after this step."""
        due = self.progress.total
        if due % self.config.log_every == 0:
            self.log(stage)
        is_best = False
        if due % self.config.validation.every == 0:
            is_best = self.validate()
        if (due % self.config.save_every == 0 or is_best) and not self.progress.skipped_in_row:
            folder = self.state.save()
            if is_best and self.accelerator.is_main_process:
                save_best(self.run, folder)

    def log(self, stage: StageConfig) -> None:
        """Write the means since the last line, the speed and where the time went."""
        reduced: Any = self.accelerator.reduce(self.means.read(), "mean")
        means = {name: float(value) for name, value in reduced.items()}
        seconds = self.watch.read()
        whole = sum(seconds.values())
        values = {
            **means,
            "lr": learning_rate(self.progress.step - 1, stage),
            "samples_per_second": self.config.log_every * self.samples_per_step(stage) / whole,
            **{f"share_{part}": value / whole for part, value in seconds.items()},
            "gradient_norm": self.progress.mean_norm or 0.0,
            "skipped": self.progress.skipped,
        }
        self.write("train", {"stage": stage.name, "stage_step": self.progress.step, **values})

    def validate(self) -> bool:
        """Score the averaged weights; returns whether they are the best so far."""
        model = self.state.model.eval()
        with self.state.ema.applied(model), torch.no_grad():
            figures = self.recipe.validate(model, self.progress.total)
        model.train()
        self.watch.read()
        self.write("validation", figures)
        best = self.config.validation.best
        score = -figures[best] if best in LOWER_IS_BETTER else figures[best]
        is_best = self.progress.best is None or score > self.progress.best
        if is_best:
            self.progress.best, self.progress.best_total = score, self.progress.total
        return is_best

    def write(self, kind: str, values: dict[str, Any]) -> None:
        """Give figures to the metrics file, the trackers and the log."""
        if not self.accelerator.is_main_process:
            return
        self.metrics.write(kind, {"step": self.progress.total, **values})
        numbers = {f"{kind}/{k}": v for k, v in values.items() if isinstance(v, int | float)}
        self.accelerator.log(numbers, step=self.progress.total)
        shown = "  ".join(
            f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()
        )
        logger.info("%s %d  %s", kind, self.progress.total, shown)

    def loader(self, stage: StageConfig) -> DataLoader:
        """Batches of a stage from the run's position on."""
        processes, data = self.accelerator.num_processes, self.config.data
        sampler = NumberedBatches(
            start=self.progress.position,
            batches=max(0, stage.steps - self.progress.step) * stage.accumulate,
            batch=stage.batch,
            rank=self.accelerator.process_index,
            processes=processes,
        )
        return DataLoader(
            self.recipe.dataset(stage),
            batch_sampler=sampler,
            generator=torch.Generator(),  # else it draws from the one that a resumed run restores
            num_workers=data.workers,
            prefetch_factor=data.prefetch if data.workers else None,
            worker_init_fn=_prepare_worker,
            pin_memory=self.accelerator.device.type == "cuda",
        )

    def is_stopping(self) -> bool:
        """True if any process received a signal to stop; all then stop at the same step."""
        if self.accelerator.num_processes == 1:
            return self.stopping.is_set()
        told = torch.tensor(float(self.stopping.is_set()), device=self.accelerator.device)
        count: Any = self.accelerator.reduce(told, "sum")
        if float(count):
            self.stopping.set()
        return self.stopping.is_set()

    def samples_per_step(self, stage: StageConfig) -> int:
        """Samples that all processes draw for one optimiser step."""
        return stage.batch * stage.accumulate * self.accelerator.num_processes

    def go_back(self) -> None:
        """Return to the last checkpoint, but draw samples that come after those that exploded."""
        seen = TrainingProgress(**asdict(self.progress))
        if seen.rollbacks >= self.config.optimizer.rollbacks or not self.state.resume():
            raise VsrError(
                f"training diverged at step {seen.total} after {seen.rollbacks} returns to a "
                "checkpoint; lower the learning rate of the stage"
            )
        self.progress.rollbacks = seen.rollbacks + 1
        self.progress.skipped = seen.skipped
        self.progress.skipped_in_row = 0
        if self.progress.stage == seen.stage:
            stage = self.config.stages[seen.stage]
            self.progress.position = seen.position + self.samples_per_step(stage)


def _moved_mean(mean: float | None, value: float) -> float:
    return value if mean is None else 0.98 * mean + 0.02 * value


def _to(batch: Batch, device: torch.device) -> Batch:
    return {k: v.to(device, non_blocking=True) for k, v in batch.items()}


def _prepare_worker(worker: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    for number in (signal.SIGTERM, signal.SIGINT):  # they reach the whole group of processes
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _stopped_by_signals(stopping: threading.Event) -> Generator[None]:
    """Inside, SIGTERM and SIGINT set the event; a second one acts as it always does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGTERM, signal.SIGINT)
    old: dict[int, Any] = {number: signal.getsignal(number) for number in signals}

    def stop(number: int, _frame: Any) -> None:
        logger.info("stopping after this step")
        stopping.set()
        signal.signal(number, old[number])

    for number in old:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
