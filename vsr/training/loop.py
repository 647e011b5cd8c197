"""The training loop, the same for every recipe: stages, validation, checkpoints, recovery."""

import threading
from dataclasses import asdict
from pathlib import Path

import torch
import yaml
from accelerate import Accelerator
from torch.utils.data import DataLoader

from vsr.errors import VsrError
from vsr.runtime.memory import keep_freed_memory
from vsr.training.config import StageConfig, TrainConfig
from vsr.training.config_file import config_to_dict
from vsr.training.data.loader import make_loader
from vsr.training.data.sampler import NumberedBatches
from vsr.training.engine.acceleration import make_accelerator
from vsr.training.engine.checkpoint import TrainingProgress, save_best
from vsr.training.engine.recipe import Recipe
from vsr.training.engine.record import flat
from vsr.training.engine.run_log import RunLog
from vsr.training.engine.state import TrainingState
from vsr.training.engine.step import DivergedError, TrainingStep
from vsr.training.engine.stopping import is_set_in_any, set_by_signals
from vsr.training.recipes.build import completed, make_recipe

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


class Trainer:
    """A run in progress: its state, its recipe and its records."""

    def __init__(self, config: TrainConfig, recipe: Recipe, accelerator: Accelerator) -> None:
        self.config, self.recipe, self.accelerator = config, recipe, accelerator
        self.run = Path(config.run)
        self.state = TrainingState(config, recipe, accelerator)
        self.log = RunLog(self.run, accelerator)
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
        with set_by_signals(self.stopping):
            while self.progress.stage < len(self.config.stages) and not self.stopping.is_set():
                try:
                    self.run_stage(self.config.stages[self.progress.stage])
                except DivergedError:
                    self.go_back()
        self.accelerator.end_training()
        return self.run

    def run_stage(self, stage: StageConfig) -> None:
        """Train one stage from the current progress to its end, or until a signal."""
        model = self.state.begin_stage(stage)
        step = TrainingStep(stage, model, recipe=self.recipe, state=self.state, log=self.log)
        batches = iter(self.loader(stage))
        self.log.watch.read()
        try:
            while self.progress.step < stage.steps:
                step.run(batches)
                self.after_step(stage)
                if is_set_in_any(self.stopping, self.accelerator):
                    self.state.save()
                    return
        finally:
            self.state.end_stage(model)
        self.progress.stage += 1
        self.progress.step = self.progress.position = 0
        self.progress.mean_norm = self.progress.critic_mean_norm = None
        self.state.save()

    def loader(self, stage: StageConfig) -> DataLoader:
        """The remaining batches of a stage."""
        batches = NumberedBatches(
            start=self.progress.position,
            batches=max(0, stage.steps - self.progress.step) * stage.accumulate,
            batch=stage.batch,
            rank=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
        )
        return make_loader(
            self.recipe.dataset(stage),
            batches,
            workers=self.config.data.workers,
            prefetch=self.config.data.prefetch,
            pin_memory=self.accelerator.device.type == "cuda",
        )

    def after_step(self, stage: StageConfig) -> None:
        """Write metrics, validate and save a checkpoint, if they are due after this step."""
        config, done = self.config, self.progress.total
        if done % config.log_every == 0:
            samples = config.log_every * self.state.samples_per_step(stage)
            self.log.write_steps(self.progress, stage, samples=samples)
        is_best = done % config.validation.every == 0 and self.validate()
        if (done % config.save_every == 0 or is_best) and not self.progress.skipped_in_row:
            folder = self.state.save()
            if is_best and self.accelerator.is_main_process:
                save_best(self.run, folder)

    def validate(self) -> bool:
        """Score the averaged weights; returns True if they are the best so far."""
        model = self.state.model.eval()
        with self.state.ema.applied(model), torch.no_grad():
            figures = self.recipe.validate(model, self.progress.total)
        model.train()
        self.log.watch.read()
        self.log.write("validation", figures, step=self.progress.total)
        best = self.config.validation.best
        score = -figures[best] if best in LOWER_IS_BETTER else figures[best]
        is_best = self.progress.best is None or score > self.progress.best
        if is_best:
            self.progress.best, self.progress.best_total = score, self.progress.total
        return is_best

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
            self.progress.position = seen.position + self.state.samples_per_step(stage)
