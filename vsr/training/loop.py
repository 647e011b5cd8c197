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
from accelerate.utils import is_tensorboard_available
from torch import Tensor, nn
from torch.utils.data import DataLoader

from vsr.errors import VsrError
from vsr.memory import keep_freed_memory
from vsr.training.checkpoint import (
    Checkpoint,
    Progress,
    check_same_networks,
    checkpoint_folders,
    load_checkpoint,
    save_best,
    save_checkpoint,
)
from vsr.training.compact import CompactRecipe
from vsr.training.config import (
    LossWeights,
    StageConfig,
    TrainConfig,
    config_to_dict,
    differing_fields,
)
from vsr.training.critic import Critic
from vsr.training.ema import Ema
from vsr.training.networks import with_shapes_of_init
from vsr.training.optim import (
    choose_parameters,
    learning_rate,
    make_optimizer,
    set_learning_rate,
)
from vsr.training.recipe import AdversarialRecipe, Batch, Recipe
from vsr.training.record import Means, MetricsFile, Stopwatch
from vsr.training.sampler import NumberedBatches

logger = logging.getLogger(__name__)

RAMPED = ("perceptual", "prior_features")
"""Terms whose weights rise over `StageConfig.ramp` steps."""
JUDGED = ("adversarial", "matching")
"""Terms that come from a critic; they rise likewise, after its head start."""
LOWER_IS_BETTER = ("features",)
"""Validation figures that fall as the model gets better."""


def run_training(config: TrainConfig, recipe: Recipe | None = None) -> Path:
    """Train all stages of a config, going on from the run folder's newest checkpoint.

    Stopped by SIGTERM or Ctrl-C it writes a checkpoint first. Returns the run folder.
    Raises `ConfigError` when the run folder holds a run of other networks.
    """
    config = with_shapes_of_init(config)
    accelerator = Accelerator(
        mixed_precision=config.precision,
        cpu=config.device == "cpu",
        log_with="tensorboard" if is_tensorboard_available() else None,
        project_dir=config.run,
    )
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    torch.backends.cudnn.benchmark = True  # crops of a stage are all of one size
    chosen = recipe or CompactRecipe(config, device=accelerator.device)
    return Trainer(config, chosen, accelerator).train()


class DivergedError(Exception):
    """Several steps in a row exploded; the run goes back to its last checkpoint."""


class Trainer:
    """A run in motion: the model, its average, where it stands, and what it writes down."""

    def __init__(self, config: TrainConfig, recipe: Recipe, accelerator: Accelerator) -> None:
        self.config, self.recipe, self.accelerator = config, recipe, accelerator
        self.run = Path(config.run)
        self.model = recipe.model.to(accelerator.device)
        self.ema = Ema(self.model, config.optimizer.ema_decay)
        self.progress = Progress()
        critic = recipe.critic if isinstance(recipe, AdversarialRecipe) else None
        self.critic = None if critic is None else Critic(critic, accelerator)
        self.resumed: Checkpoint | None = None
        self.metrics = MetricsFile(self.run)
        self.watch, self.means = Stopwatch(), Means()
        self.stopping = threading.Event()

    def train(self) -> Path:
        """Run whatever is left of the stages."""
        torch.manual_seed(self.config.seed)
        self.accelerator.init_trackers("tensorboard")
        plain = config_to_dict(self.config)
        if self.accelerator.is_main_process:
            (self.run / "config.yaml").write_text(yaml.safe_dump(plain, sort_keys=False))
        if not self.resume():
            self.save(None)
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
        count = choose_parameters(self.model, stage)
        optimizer = make_optimizer(self.model, stage, self.config.optimizer)
        if self.resumed is not None and self.resumed.optimizer is not None:
            optimizer.load_state_dict(self.resumed.optimizer)
        if self.critic is not None and stage.critic is not None:
            self.critic.begin(stage.critic, self.resumed and self.resumed.critic_optimizer)
        self.resumed = None
        model, optimizer = self.accelerator.prepare(self.model, optimizer)
        model.train()
        batches = iter(self.loader(stage))
        logger.info(
            "stage %s: %.2f M parameters train, step %d of %d",
            stage.name, count / 1e6, self.progress.step, stage.steps,
        )  # fmt: skip
        self.watch.read()
        try:
            while self.progress.step < stage.steps:
                self.step(model, optimizer, batches, stage)
                self.after_step(stage, optimizer)
                if self.stopping.is_set():
                    self.save(optimizer)
                    return
        finally:
            self.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
            # else the next stage's prepare leaves it as it is: in full precision
            self.model.__dict__.pop("_is_accelerate_prepared", None)
            self.accelerator.free_memory()
        self.progress.stage += 1
        self.progress.step = self.progress.position = 0
        self.progress.mean_norm = self.progress.critic_mean_norm = None
        self.save(None)

    def step(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        batches: Iterator[Batch],
        stage: StageConfig,
    ) -> None:
        """One optimiser step over `accumulate` micro-batches, skipped when it explodes."""
        set_learning_rate(optimizer, learning_rate(self.progress.step, stage))
        for micro in range(stage.accumulate):
            last = micro == stage.accumulate - 1
            with self.watch.part("data"):
                batch = _to(next(batches), self.accelerator.device)
            critic = self.critic_of(stage)
            with nullcontext() if last else self.accelerator.no_sync(model):
                with self.watch.part("forward"), critic.frozen() if critic else nullcontext():
                    terms = self.recipe.terms(model, batch, stage)
                    loss = self.total(terms, stage)
                with self.watch.part("backward"):
                    self.accelerator.backward(loss / stage.accumulate)
            self.means.add({"loss": loss, **terms})
            if critic is not None:
                with self.watch.part("critic"):
                    self.learn_to_judge(batch, stage)
        with self.watch.part("update"):
            parameters = [p for p in self.model.parameters() if p.requires_grad]
            norm = self.accelerator.clip_grad_norm_(parameters, self.config.optimizer.clip_norm)
            self.update(optimizer, stage, float(norm) if norm is not None else math.nan)
        self.progress.step += 1
        self.progress.total += 1
        self.progress.position += self.samples_per_step(stage)

    def critic_of(self, stage: StageConfig) -> Critic | None:
        """The critic, in stages in which it learns."""
        return self.critic if stage.critic is not None else None

    def learn_to_judge(self, batch: Batch, stage: StageConfig) -> None:
        """Gradients of the critic's loss on a micro-batch."""
        assert isinstance(self.recipe, AdversarialRecipe), "only these have a critic"
        terms = self.recipe.critic_terms(batch, stage)
        (torch.stack(list(terms.values())).sum() / stage.accumulate).backward()
        self.means.add(terms)

    def update(self, optimizer: torch.optim.Optimizer, stage: StageConfig, norm: float) -> None:
        """Move the weights and their average unless a gradient explodes."""
        critic, clip = self.critic_of(stage), self.config.optimizer.clip_norm
        critic_norm = critic.finish_gradients(clip) if critic else 0.0
        fine = self.is_usual(norm, self.progress.mean_norm)
        if fine and self.is_usual(critic_norm, self.progress.critic_mean_norm):
            optimizer.step()
            self.ema.update(self.model)
            self.progress.ema_updates = self.ema.updates
            self.progress.mean_norm = _moved_mean(self.progress.mean_norm, norm)
            if critic is not None and stage.critic is not None:
                critic.step(learning_rate(self.progress.step, stage) * stage.critic.lr / stage.lr)
                mean = self.progress.critic_mean_norm
                self.progress.critic_mean_norm = _moved_mean(mean, critic_norm)
            self.progress.skipped_in_row = 0
        else:
            self.progress.skipped += 1
            self.progress.skipped_in_row += 1
            logger.warning("step %d skipped: gradient norm %g", self.progress.total, norm)
        optimizer.zero_grad(set_to_none=True)
        if critic is not None:
            critic.forget_gradients()
        if self.progress.skipped_in_row >= self.config.optimizer.patience:
            raise DivergedError

    def is_usual(self, norm: float, mean: float | None) -> bool:
        """Whether a gradient norm is finite and not far above its running mean."""
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
        """How much of a term counts at this step; the critic's word not before its head start."""
        begin = stage.critic.head_start if stage.critic is not None and name in JUDGED else 0
        if self.progress.step < begin:
            return 0.0
        if not stage.ramp or name not in (*RAMPED, *JUDGED):
            return 1.0
        return min(1.0, (self.progress.step - begin + 1) / stage.ramp)

    def after_step(self, stage: StageConfig, optimizer: torch.optim.Optimizer) -> None:
        """Whatever is due after this step: metrics, validation, a checkpoint."""
        due = self.progress.total
        if due % self.config.log_every == 0:
            self.log(stage, optimizer)
        is_best = False
        if due % self.config.validation.every == 0:
            is_best = self.validate()
        if (due % self.config.save_every == 0 or is_best) and not self.progress.skipped_in_row:
            folder = self.save(optimizer)
            if is_best and self.accelerator.is_main_process:
                save_best(self.run, folder)

    def log(self, stage: StageConfig, optimizer: torch.optim.Optimizer) -> None:
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
        self.model.eval()
        with self.ema.applied(self.model), torch.no_grad():
            figures = self.recipe.validate(self.model, self.progress.total)
        self.model.train()
        self.watch.read()
        self.write("validation", figures)
        best = self.config.validation.best
        score = -figures[best] if best in LOWER_IS_BETTER else figures[best]
        is_best = self.progress.best is None or score > self.progress.best
        if is_best:
            self.progress.best = score
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
            worker_init_fn=_use_one_thread,
            pin_memory=self.accelerator.device.type == "cuda",
        )

    def samples_per_step(self, stage: StageConfig) -> int:
        """Samples that all processes draw for one optimiser step."""
        return stage.batch * stage.accumulate * self.accelerator.num_processes

    def save(self, optimizer: torch.optim.Optimizer | None) -> Path:
        """Write a checkpoint; `optimizer` is None between stages."""
        folder = self.run
        if self.accelerator.is_main_process:
            checkpoint = Checkpoint(
                model=dict(self.model.state_dict()),
                ema=self.ema.shadow,
                optimizer=None if optimizer is None else optimizer.state_dict(),
                rng=torch.get_rng_state(),
                progress=self.progress,
                config=config_to_dict(self.config),
                critic=None if self.critic is None else dict(self.critic.module.state_dict()),
                critic_optimizer=self.critic_optimizer_state() if optimizer else None,
            )
            folder = save_checkpoint(self.run, checkpoint, keep=self.config.keep)
        self.accelerator.wait_for_everyone()
        return folder

    def critic_optimizer_state(self) -> dict[str, Any] | None:
        """State of the critic's optimiser, in stages in which it learns."""
        critic = self.critic_of(self.config.stages[self.progress.stage])
        return None if critic is None or critic.optimizer is None else critic.optimizer.state_dict()

    def resume(self) -> bool:
        """Take over the newest checkpoint of the run folder; returns whether there is one."""
        folders = checkpoint_folders(self.run)
        if not folders:
            return False
        checkpoint = load_checkpoint(folders[-1])
        differing = differing_fields(checkpoint.config, config_to_dict(self.config))
        check_same_networks(folders[-1], differing)
        if differing:
            logger.warning("resumed with other values of %s", ", ".join(differing))
        self.model.load_state_dict(checkpoint.model)
        self.ema.load(checkpoint.ema, checkpoint.progress.ema_updates)
        if self.critic is not None and checkpoint.critic is not None:
            self.critic.load(checkpoint.critic)
        self.resumed = checkpoint
        self.progress = checkpoint.progress
        torch.set_rng_state(checkpoint.rng)
        logger.info("resumed %s", folders[-1])
        return True

    def go_back(self) -> None:
        """Return to the last checkpoint, but draw samples that come after those that exploded."""
        seen = Progress(**asdict(self.progress))
        if seen.rollbacks >= self.config.optimizer.rollbacks or not self.resume():
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


def _use_one_thread(worker: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


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
