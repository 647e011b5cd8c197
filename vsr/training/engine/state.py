"""The state of a run, which checkpoints save and restore."""

import logging
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from vsr.training.config import StageConfig, TrainConfig
from vsr.training.config_file import config_to_dict
from vsr.training.engine.adapters import add_adapters, is_adapter
from vsr.training.engine.checkpoint import (
    Checkpoint,
    TrainingProgress,
    checkpoint_folders,
    load_newest,
    save_best,
    save_checkpoint,
)
from vsr.training.engine.compatibility import check_resumable
from vsr.training.engine.critic_optimizer import CriticOptimizer
from vsr.training.engine.ema import Ema
from vsr.training.engine.optim import choose_parameters, make_optimizer, names_that_train
from vsr.training.engine.recipe import AdversarialRecipe, Recipe
from vsr.training.engine.sharding import load_optimizer, load_tensors, optimizer_by_name, shard

logger = logging.getLogger(__name__)


class TrainingState:
    """The model, its average, the critic, their optimisers, the random generators, the progress.

    `save` and `resume` are called by all processes at once; the main one writes.
    """

    def __init__(self, config: TrainConfig, recipe: Recipe, accelerator: Accelerator) -> None:
        self.config, self.accelerator = config, accelerator
        self.run = Path(config.run)
        self.model = recipe.model
        if config.lora is not None:
            add_adapters(self.model, config.lora)
        self.model = self.model.to(accelerator.device)
        if config.gradient_checkpointing:
            enable_gradient_checkpointing(self.model)
        self._sharded = shard(self.model, accelerator) if accelerator.is_fsdp2 else None
        names = set[str]().union(*(names_that_train(self.model, s) for s in config.stages))
        self.ema = Ema(self.model, config.optimizer.ema_decay, names=names)
        critic = recipe.critic if isinstance(recipe, AdversarialRecipe) else None
        self.critic = None if critic is None else CriticOptimizer(critic, accelerator)
        self.progress = TrainingProgress()
        self.optimizer: torch.optim.Optimizer | None = None
        self._resumed: Checkpoint | None = None

    def begin_stage(self, stage: StageConfig) -> nn.Module:
        """Prepare the optimisers of a stage; returns the model wrapped for several processes.

        Optimisers start fresh, unless the stage resumes from a checkpoint.
        """
        count = choose_parameters(self.model, stage)
        fresh = make_optimizer(self.model, stage, self.config.optimizer)
        if self._sharded is None:
            wrapped, optimizer = self.accelerator.prepare(self.model, fresh)
        else:
            wrapped, optimizer = self._sharded, self.accelerator.prepare_optimizer(fresh)
        self.optimizer = optimizer
        resumed, self._resumed = self._resumed, None
        if resumed is not None and resumed.optimizer is not None:
            load_optimizer(optimizer, resumed.optimizer, self.model)
        if self.critic is not None and stage.critic is not None:
            self.critic.begin(stage.critic, resumed and resumed.critic_optimizer)
        logger.info(
            "stage %s: %.2f M parameters train, step %d of %d",
            stage.name, count / 1e6, self.progress.step, stage.steps,
        )  # fmt: skip
        return wrapped.train()

    def end_stage(self, wrapped: nn.Module) -> None:
        """Free the wrappers and the optimisers."""
        self.accelerator.unwrap_model(wrapped, keep_fp32_wrapper=False)
        # else `prepare` skips the model in the next stage, which then runs in full precision
        self.model.__dict__.pop("_is_accelerate_prepared", None)
        self.accelerator.free_memory()
        self.optimizer = None

    def critic_of(self, stage: StageConfig) -> CriticOptimizer | None:
        """The critic in stages that train it, else None."""
        return self.critic if stage.critic is not None else None

    def samples_per_step(self, stage: StageConfig) -> int:
        """Samples that all processes draw for one optimiser step."""
        return stage.batch * stage.accumulate * self.accelerator.num_processes

    def save(self) -> Path:
        """Write a checkpoint; returns its folder, or the run folder in all but the main process.

        With FSDP every process writes its own shards.
        """
        main = self.accelerator.is_main_process
        critic, scaler, optimizer = self.critic, self.accelerator.scaler, self.optimizer
        moving = None if critic is None or optimizer is None else critic.optimizer
        checkpoint = Checkpoint(
            model=self._saved_weights(),
            ema=self.ema.shadow,
            optimizer=None if optimizer is None else self._optimizer_state(optimizer),
            rng=gather_object([self._generators()]),
            progress=self.progress,
            config=config_to_dict(self.config),
            critic=None if critic is None else dict(critic.module.state_dict()),
            critic_optimizer=None if moving is None else moving.state_dict(),
            scaler=None if scaler is None else scaler.state_dict(),
        )
        folder = self.run
        if main or self._sharded is not None:
            folder = save_checkpoint(self.run, checkpoint, keep=self.config.keep, is_main=main)
        self.accelerator.wait_for_everyone()
        return folder if main else self.run

    def _saved_weights(self) -> dict[str, Tensor]:
        """The model's tensors; of a run with adapters, which does not change others, those."""
        weights = dict(self.model.state_dict())
        if self.config.lora is None:
            return weights
        return {name: weight for name, weight in weights.items() if is_adapter(name)}

    def _optimizer_state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        if self._sharded is None:
            return optimizer.state_dict()
        return dict(optimizer_by_name(optimizer, self.model))

    def resume(self) -> bool:
        """Load the newest checkpoint of the run folder that can be read; False if there is none.

        Raises `ConfigError` if its config is one from which this run cannot resume, `InputError`
        if all checkpoints are damaged.
        """
        folders = checkpoint_folders(self.run)
        if not folders:
            return False
        folder, checkpoint = load_newest(folders, self.model.state_dict())
        check_resumable(folder, checkpoint, self.config)
        self._restore(checkpoint)
        self._complete_best(folder)
        logger.info("resumed %s", folder)
        return True

    def _restore(self, checkpoint: Checkpoint) -> None:
        load_tensors(self.model, checkpoint.model, strict=self.config.lora is None)
        self.ema.load(checkpoint.ema, checkpoint.progress.ema_updates)
        if self.critic is not None and checkpoint.critic is not None:
            self.critic.load(checkpoint.critic)
        if self.accelerator.scaler is not None and checkpoint.scaler is not None:
            self.accelerator.scaler.load_state_dict(checkpoint.scaler)
        self._resumed = checkpoint
        self.progress = checkpoint.progress
        self._seed_generators(checkpoint.rng)

    def _complete_best(self, folder: Path) -> None:
        """Copy a checkpoint as the best one, if the run was killed before it had done so."""
        if self.accelerator.is_main_process and self.progress.best_total == self.progress.total:
            save_best(self.run, folder)

    def seed(self) -> None:
        """Seed this process's generators, each process by its own number."""
        torch.manual_seed(self.config.seed + self.accelerator.process_index)

    def _generators(self) -> dict[str, Any]:
        cuda = self.accelerator.device.type == "cuda"
        device = self.accelerator.device
        return {
            "cpu": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(device) if cuda else None,
        }

    def _seed_generators(self, states: list[dict[str, Any]]) -> None:
        """Restore this process's generators; seeds them if the saved run had fewer processes."""
        number = self.accelerator.process_index
        if number >= len(states):
            torch.manual_seed(self.config.seed + number + self.progress.total)
            return
        torch.set_rng_state(states[number]["cpu"])
        if self.accelerator.device.type == "cuda" and states[number]["cuda"] is not None:
            torch.cuda.set_rng_state(states[number]["cuda"], self.accelerator.device)


def enable_gradient_checkpointing(model: nn.Module) -> None:
    """Make all diffusers networks in a model recompute activations in the backward pass."""
    for module in model.modules():
        if isinstance(module, ModelMixin):
            module.enable_gradient_checkpointing()
