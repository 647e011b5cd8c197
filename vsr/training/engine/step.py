"""The training step: gradients over micro-batches, then one update of model and critic."""

import logging
import math
from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import nn

from vsr.training.config import OptimizerConfig, StageConfig
from vsr.training.engine.optim import learning_rate, set_learning_rate
from vsr.training.engine.recipe import AdversarialRecipe, Batch, Recipe
from vsr.training.engine.run_log import RunLog
from vsr.training.engine.sharding import whole
from vsr.training.engine.state import TrainingState
from vsr.training.engine.total_loss import total_loss

logger = logging.getLogger(__name__)


class DivergedError(Exception):
    """Several steps in a row exploded; the run goes back to its last checkpoint."""


class TrainingStep:
    """The step of one stage, between `begin_stage` and `end_stage` of the state."""

    def __init__(
        self,
        stage: StageConfig,
        model: nn.Module,
        *,
        recipe: Recipe,
        state: TrainingState,
        log: RunLog,
    ) -> None:
        """`model` is the recipe's as `begin_stage` wraps it."""
        self.stage, self.model, self.recipe = stage, model, recipe
        self.state, self.log, self.accelerator = state, log, state.accelerator
        self.critic = state.critic_of(stage)

    def run(self, batches: Iterator[Batch]) -> None:
        """Take one optimiser step over `accumulate` micro-batches; an exploding one is skipped.

        Raises `DivergedError` after `optimizer.patience` skipped steps in a row.
        """
        watch, stage = self.log.watch, self.stage
        for micro in range(stage.accumulate):
            with watch.part("data"):
                batch = _to(next(batches), self.accelerator.device)
            self.add_gradients(batch, last=micro == stage.accumulate - 1)
            if self.critic is not None:
                with watch.part("critic"):
                    self.add_critic_gradients(batch)
        with watch.part("update"):
            self.update()
        progress = self.state.progress
        progress.step += 1
        progress.total += 1
        progress.position += self.state.samples_per_step(stage)

    def add_gradients(self, batch: Batch, *, last: bool) -> None:
        """Add the gradients of the model's loss on a micro-batch; the last one synchronises."""
        watch, stage, critic = self.log.watch, self.stage, self.critic
        with nullcontext() if last else self.accelerator.no_sync(self.model):
            with watch.part("forward"), critic.frozen() if critic else nullcontext():
                terms = self.recipe.terms(self.model, batch, stage)
                loss = total_loss(terms, stage, step=self.state.progress.step)
            with watch.part("backward"):
                self.accelerator.backward(loss / stage.accumulate)
        self.log.means.add({"loss": loss, **terms})

    def add_critic_gradients(self, batch: Batch) -> None:
        """Add the gradients of the critic's loss on the micro-batch."""
        assert isinstance(self.recipe, AdversarialRecipe), "only these have a critic"
        terms = self.recipe.critic_terms(batch, self.stage)
        (torch.stack(list(terms.values())).sum() / self.stage.accumulate).backward()
        self.log.means.add(terms)

    def update(self) -> None:
        """Update the weights and their average, unless a gradient explodes."""
        progress, config = self.state.progress, self.state.config.optimizer
        norm = self.gradient_norm()
        critic_norm = self.critic.finish_gradients(config.clip_norm) if self.critic else 0.0
        fine = is_usual(norm, progress.mean_norm, config)
        if fine and is_usual(critic_norm, progress.critic_mean_norm, config):
            self.move_weights(norm, critic_norm)
            progress.skipped_in_row = 0
        elif not self.overflowed(norm):
            progress.skipped += 1
            progress.skipped_in_row += 1
            logger.warning("step %d skipped: gradient norm %g", progress.total, norm)
        self.forget_gradients()
        if progress.skipped_in_row >= config.patience:
            raise DivergedError

    def move_weights(self, norm: float, critic_norm: float) -> None:
        """Step both optimisers, update the average, and note the gradient norms."""
        state, stage, progress = self.state, self.stage, self.state.progress
        assert state.optimizer is not None, "a stage has begun"
        rate = learning_rate(progress.step, stage)
        set_learning_rate(state.optimizer, rate)
        state.optimizer.step()
        state.ema.update(state.model)
        progress.ema_updates = state.ema.updates
        progress.mean_norm = _moved_mean(progress.mean_norm, norm)
        if self.critic is not None and stage.critic is not None:
            self.critic.step(rate * stage.critic.lr / stage.lr)
            progress.critic_mean_norm = _moved_mean(progress.critic_mean_norm, critic_norm)

    def gradient_norm(self) -> float:
        """Clip the model's gradients; returns their norm before."""
        parameters = [p for p in self.state.model.parameters() if p.requires_grad]
        clip_norm = self.state.config.optimizer.clip_norm
        norm = self.accelerator.clip_grad_norm_(parameters, clip_norm)
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

    def forget_gradients(self) -> None:
        """Drop the gradients of this step."""
        assert self.state.optimizer is not None, "a stage has begun"
        self.state.optimizer.zero_grad(set_to_none=True)
        if self.critic is not None:
            self.critic.forget_gradients()


def is_usual(norm: float, mean: float | None, config: OptimizerConfig) -> bool:
    """True if a gradient norm is finite and not far above its running mean."""
    limit = math.inf if mean is None else config.explosion * max(mean, config.clip_norm)
    return math.isfinite(norm) and norm <= limit


def _moved_mean(mean: float | None, value: float) -> float:
    return value if mean is None else 0.98 * mean + 0.02 * value


def _to(batch: Batch, device: torch.device) -> Batch:
    return {k: v.to(device, non_blocking=True) for k, v in batch.items()}
