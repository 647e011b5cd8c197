import dataclasses
import json
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.training.regression import STEPS, Regression, config
from vsr.errors import ConfigError, OutputError, VsrError
from vsr.training.config import StageConfig, TrainConfig
from vsr.training.config_file import build_train_config, config_to_dict
from vsr.training.data.sampler import NumberedBatches
from vsr.training.engine.checkpoint import checkpoint_folders, load_checkpoint, save_checkpoint
from vsr.training.engine.ema import Ema
from vsr.training.loop import run_training


def newest(run: Path) -> dict[str, Tensor]:
    checkpoint = load_checkpoint(checkpoint_folders(run)[-1])
    return {**checkpoint.model, **{f"ema.{k}": v for k, v in checkpoint.ema.items()}}


@pytest.mark.parametrize("dies_at", [3, 8, 18, 19, 27])
def test_a_killed_run_goes_on_to_the_same_weights_bit_for_bit(tmp_path: Path, dies_at: int):
    run_training(config(tmp_path / "whole"), Regression())
    with pytest.raises(KeyboardInterrupt):
        run_training(config(tmp_path / "killed"), Regression(dies_at=dies_at))
    run_training(config(tmp_path / "killed"), Regression())
    whole, killed = newest(tmp_path / "whole"), newest(tmp_path / "killed")
    assert whole.keys() == killed.keys()
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_a_terminated_run_saves_the_step_it_was_in(tmp_path: Path):
    class Terminated(Regression):
        def terms(self, model: nn.Module, batch: Any, stage: StageConfig) -> dict[str, Tensor]:
            if self.calls == 10:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().terms(model, batch, stage)

    run_training(config(tmp_path), Terminated())
    assert load_checkpoint(checkpoint_folders(tmp_path)[-1]).progress.total == 6
    run_training(config(tmp_path), Regression())
    assert load_checkpoint(checkpoint_folders(tmp_path)[-1]).progress.total == sum(STEPS)


def test_training_learns_and_writes_what_it_does(tmp_path: Path):
    run_training(config(tmp_path), Regression())
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "train"]
    assert len(losses) == sum(STEPS)
    assert sum(losses[-3:]) < 0.5 * sum(losses[:3])
    assert [line["step"] for line in lines if line["kind"] == "validation"] == [6, 12]


def test_every_sample_is_drawn_once_and_in_order(tmp_path: Path):
    recipe = Regression()
    run_training(config(tmp_path), recipe)
    assert recipe.numbers == [*range(4 * STEPS[0]), *range(4 * STEPS[1])]


def test_an_exploding_step_is_skipped_and_counted(tmp_path: Path):
    run_training(config(tmp_path), Regression(explodes=lambda number: number == 8))
    progress = load_checkpoint(checkpoint_folders(tmp_path)[-1]).progress
    assert (progress.skipped, progress.rollbacks) == (2, 0)
    assert all(value.isfinite().all() for value in newest(tmp_path).values())


def test_after_several_exploding_steps_the_run_goes_back_and_passes_them_by(tmp_path: Path):
    recipe = Regression(explodes=lambda number: 20 <= number < 28)
    run_training(
        config(tmp_path, optimizer={"patience": 2}, stages=[_stage(12)], validation={"every": 99}),
        recipe,
    )
    progress = load_checkpoint(checkpoint_folders(tmp_path)[-1]).progress
    assert (progress.skipped, progress.rollbacks, progress.total) == (2, 1, 12)
    # back at step 4, but reading on behind the samples that exploded
    assert recipe.numbers == [*range(28), *range(28, 60)]


def test_a_run_that_always_explodes_gives_up(tmp_path: Path):
    with pytest.raises(VsrError, match="lower the learning rate"):
        run_training(config(tmp_path), Regression(explodes=lambda number: True))


def test_only_the_newest_checkpoints_and_the_best_are_kept(tmp_path: Path):
    run_training(config(tmp_path, keep=2), Regression())
    folders = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert folders == ["best", "step_00000012", "step_00000016"]
    assert load_checkpoint(tmp_path / "checkpoints" / "best").progress.total in (6, 12)


def test_a_checkpoint_of_another_config_says_which_fields_differ(tmp_path: Path):
    run_training(config(tmp_path), Regression())
    with pytest.raises(ConfigError, match="another seed"):
        run_training(config(tmp_path, seed=1), Regression())


def test_stages_that_have_begun_keep_their_names(tmp_path: Path):
    run_training(config(tmp_path), Regression())
    renamed = [{**_stage(9), "name": "other"}, {**_stage(7), "name": "s1"}]
    with pytest.raises(ConfigError, match=r"order of stages \(s0, s1 here, now other, s1\)"):
        run_training(config(tmp_path, stages=renamed), Regression())


def test_a_resumed_run_names_the_fields_that_change_its_weights(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    run_training(config(tmp_path), Regression())
    run_training(config(tmp_path, log_every=3, keep=5, data={"workers": 1}), Regression())
    assert "other values" not in caplog.text
    changed = build_train_config(config_to_dict(config(tmp_path, optimizer={"clip_norm": 9})))
    stages = (changed.stages[0], dataclasses.replace(changed.stages[1], lr=0.5))
    run_training(dataclasses.replace(changed, stages=stages), Regression())
    assert "resumed with other values of optimizer.clip_norm, stages.s1.lr" in caplog.text


@pytest.mark.parametrize("grown", ["model", "optimizer"])
def test_a_full_disk_leaves_the_old_checkpoints(tmp_path: Path, grown: str):
    run_training(config(tmp_path), Regression())
    before = newest(tmp_path)
    large: Any = {"weight": torch.zeros(100_000)}
    checkpoint = dataclasses.replace(
        load_checkpoint(checkpoint_folders(tmp_path)[-1]), **{grown: large}
    )
    checkpoint.progress.total = 99
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="older ones are whole"):
            save_checkpoint(tmp_path, checkpoint, keep=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / "checkpoints").glob("*99"))
    after = newest(tmp_path)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_ones(tmp_path: Path):
    run_training(config(tmp_path), Regression())
    checkpoint = load_checkpoint(checkpoint_folders(tmp_path)[-1])
    before = newest(tmp_path)
    checkpoint.progress.total = 99
    obstacle = tmp_path / "checkpoints" / ".partial_step_00000099"
    obstacle.write_text("a file where the folder must be")
    with pytest.raises(OutputError, match="older ones are whole"):
        save_checkpoint(tmp_path, checkpoint, keep=2)
    after = newest(tmp_path)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_processes_share_the_samples_without_overlap_or_loss():
    parts = [
        NumberedBatches(start=6, batches=4, batch=3, rank=rank, processes=2) for rank in (0, 1)
    ]
    rounds = [a + b for a, b in zip(*parts, strict=True)]
    assert [number for numbers in rounds for number in numbers] == list(range(6, 30))
    one = NumberedBatches(start=6, batches=4, batch=6)
    assert list(one) == rounds


def test_the_average_of_constant_weights_is_those_weights():
    model = nn.Linear(2, 2)
    ema = Ema(model, 0.9)
    with torch.no_grad():
        model.weight.fill_(2.0)
    for _ in range(200):
        ema.update(model)
    own = model.bias.clone()
    with ema.applied(model):
        torch.testing.assert_close(model.weight, torch.full((2, 2), 2.0))
    assert torch.equal(model.bias, own)


def test_every_stage_trains_in_the_precision_of_the_config(tmp_path: Path):
    recipe, seen = Regression(), list[torch.dtype]()
    recipe.model[0].register_forward_hook(lambda _m, _i, output: seen.append(output.dtype))
    run_training(config(tmp_path, precision="bf16", validation={"every": 99}), recipe)
    assert seen == [torch.bfloat16] * 2 * sum(STEPS)


class Duel(Regression):
    """The regression with a critic that learns to tell its answers from the true ones."""

    def __init__(self, *, dies_at: int | None = None):
        super().__init__(dies_at=dies_at)
        self.critic = nn.Sequential(nn.Linear(1, 4), nn.SiLU(), nn.Linear(4, 1))
        self.output = torch.zeros(0)

    def terms(self, model: nn.Module, batch: Any, stage: StageConfig) -> dict[str, Tensor]:
        terms = super().terms(model, batch, stage)
        output = model(batch["x"])
        self.output = output.detach()
        return {**terms, "prior": -self.critic(output).mean() + 0 * terms["pixel"]}

    def critic_terms(self, batch: Any, stage: StageConfig) -> dict[str, Tensor]:
        made, true = self.critic(self.output), self.critic(batch["y"])
        return {"critic": F.softplus(made).mean() + F.softplus(-true).mean()}


def duel(run: Path) -> TrainConfig:
    stages = [{**_stage(4), "name": "alone"}, {**_stage(6), "critic": {"lr": 0.02}}]
    return config(run, stages=stages, save_every=3)


@pytest.mark.parametrize("dies_at", [7, 13, 18])
def test_a_critic_resumes_bit_for_bit_too(tmp_path: Path, dies_at: int):
    run_training(duel(tmp_path / "whole"), Duel())
    with pytest.raises(KeyboardInterrupt):
        run_training(duel(tmp_path / "killed"), Duel(dies_at=dies_at))
    run_training(duel(tmp_path / "killed"), Duel())
    whole, killed = (
        load_checkpoint(checkpoint_folders(tmp_path / name)[-1]) for name in ("whole", "killed")
    )
    assert whole.critic and killed.critic
    for ours, theirs in ((whole.model, killed.model), (whole.critic, killed.critic)):
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_critic_learns_in_its_own_stages_only(tmp_path: Path):
    recipe = Duel()
    before = {k: v.clone() for k, v in recipe.critic.state_dict().items()}
    run_training(duel(tmp_path), recipe)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [line.get("critic") for line in lines if line["kind"] == "train"]
    assert losses[:4] == [None] * 4 and all(losses[4:])
    assert load_checkpoint(checkpoint_folders(tmp_path)[-1]).critic
    after = recipe.critic.state_dict()
    assert not any(torch.equal(before[name], after[name]) for name in before)


def test_the_loss_of_the_model_leaves_no_gradients_in_the_critic(tmp_path: Path):
    class Watched(Duel):
        def critic_terms(self, batch: Any, stage: StageConfig) -> dict[str, Tensor]:
            self.found = [p.grad for p in self.critic.parameters()]
            return super().critic_terms(batch, stage)

    recipe = Watched()
    stage = {**_stage(1), "accumulate": 1, "critic": {}}
    run_training(config(tmp_path, stages=[stage]), recipe)
    assert recipe.found == [None] * 4


def _stage(steps: int) -> dict[str, Any]:
    return {"name": "s", "steps": steps, "batch": 2, "accumulate": 2, "lr": 0.01, "warmup": 1}
