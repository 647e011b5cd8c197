import dataclasses
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.small import values
from vsr.errors import ConfigError
from vsr.training.config_file import build_train_config
from vsr.training.engine.checkpoint import checkpoint_folders, load_checkpoint
from vsr.training.engine.total_loss import ramp
from vsr.training.loop import run_training
from vsr.training.losses.adversary import Adversary
from vsr.training.losses.gan import AdversarialConfig
from vsr.training.recipes.compact import CompactRecipe

SMALL = AdversarialConfig(channels=4, depth=2)
CRITIC = {"lr": 1e-3, "head_start": 2}


def adversary(seed: int = 0, **changes: Any) -> Adversary:
    config = dataclasses.replace(SMALL, **changes)
    return Adversary(config, in_channels=3, seed=seed, autocast=nullcontext)


def clips(seed: int) -> torch.Tensor:
    return torch.rand(2, 3, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_what_the_model_pays_reaches_its_frames_and_the_critic_learns_from_its_own_loss():
    both, fake = adversary(), clips(1).requires_grad_()
    paid = both.generator_terms(clips(0), fake, generator=torch.Generator())
    (toward,) = torch.autograd.grad(sum(paid.values()), fake)
    assert paid.keys() == {"adversarial", "matching"} and toward.abs().sum() > 0
    terms = both.critic_terms(generator=torch.Generator())
    terms["critic"].backward()
    assert terms.keys() == {"critic"}
    assert all(p.grad is not None for p in both.critic.parameters())


@pytest.mark.parametrize("penalty", ["difference", "exact"])
def test_penalties_are_weighted_and_pull_the_critic_towards_smoothness(penalty: str):
    both = adversary(r1=2.0, r2=3.0, penalty=penalty)
    optimizer = torch.optim.Adam(both.critic.parameters(), lr=3e-3)
    found = []
    for _ in range(12):
        both.generator_terms(clips(0), clips(1), generator=torch.Generator())
        terms = both.critic_terms(generator=torch.Generator().manual_seed(0))
        assert terms.keys() == {"critic", "r1", "r2"}
        smoothness = terms["r1"] + terms["r2"]
        found.append(smoothness.item())
        smoothness.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert found[-1] < 0.7 * found[0]
    double = adversary(r1=4.0, penalty=penalty)
    single = adversary(r1=2.0, penalty=penalty)
    pairs = []
    for one in (double, single):
        one.generator_terms(clips(0), clips(1), generator=torch.Generator())
        pairs.append(one.critic_terms(generator=torch.Generator().manual_seed(0))["r1"].item())
    assert pairs[0] == pytest.approx(2 * pairs[1])


def test_a_critic_of_frames_looks_at_a_share_of_them():
    both = adversary(discriminator="frame", fraction=0.5)
    fake = clips(1).requires_grad_()
    paid = both.generator_terms(clips(0), fake, generator=torch.Generator().manual_seed(0))
    (toward,) = torch.autograd.grad(paid["adversarial"], fake)
    assert int((toward.abs().sum(dim=(1, 3, 4)) > 0).sum()) == 3


def test_the_seed_alone_decides_the_critics_first_weights():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = adversary(1).critic.state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    second, other = adversary(1).critic.state_dict(), adversary(2).critic.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def compact(photos: Path, run: Path, **changes: Any) -> dict[str, Any]:
    """A stage without a critic, then one with it."""
    stage = {"crop": 8, "frames": 3, "batch": 1, "lr": 1e-3, "warmup": 1}
    judged = {"weights": {"adversarial": 0.05, "matching": 0.1}, "critic": CRITIC}
    stages = [{**stage, "name": "plain", "steps": 1}]
    stages += [{**stage, "name": "sharp", "steps": 5, **judged}]
    adversarial = {"channels": 4, "depth": 2, "r1": 0.1}
    quiet = {"every": 99, "samples": 1, "best": "psnr"}
    common = {"stages": stages, "adversarial": adversarial, "validation": quiet, "save_every": 2}
    return values(photos, run, **common, **changes)


class Killed(CompactRecipe):
    """Dies in the middle of its fifth micro-batch, between the model's and the critic's turn."""

    calls = 0

    def critic_terms(self, *args: Any) -> dict[str, torch.Tensor]:
        self.calls += 1
        if self.calls == 4:
            raise KeyboardInterrupt
        return super().critic_terms(*args)


def test_a_compact_run_with_a_critic_resumes_bit_for_bit(photos: Path, tmp_path: Path):
    whole, killed = (
        build_train_config(compact(photos, tmp_path / name)) for name in ("whole", "killed")
    )
    torch.manual_seed(0)
    run_training(whole)
    torch.manual_seed(0)
    with pytest.raises(KeyboardInterrupt):
        run_training(killed, Killed(killed, torch.device("cpu")))
    assert load_checkpoint(checkpoint_folders(tmp_path / "killed")[-1]).progress.total == 4
    run_training(killed)
    last = [load_checkpoint(checkpoint_folders(tmp_path / n)[-1]) for n in ("whole", "killed")]
    for part in ("model", "ema", "critic"):
        ours, theirs = (getattr(checkpoint, part) for checkpoint in last)
        assert ours and all(torch.equal(ours[name], theirs[name]) for name in ours)
    lines = [json.loads(x) for x in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert [("critic" in line, "r1" in line) for line in lines] == [(False,) * 2] + [
        (True,) * 2
    ] * 5


def test_a_critic_joins_a_run_that_had_none(photos: Path, tmp_path: Path):
    first = compact(photos, tmp_path)
    run_training(build_train_config({**first, "stages": first["stages"][:1]}))
    run_training(build_train_config(first))
    last = load_checkpoint(checkpoint_folders(tmp_path)[-1])
    assert last.progress.total == 6 and last.critic
    wider = {**first, "adversarial": {"channels": 6, "depth": 2}}
    with pytest.raises(ConfigError, match=r"critic is of another shape.*adversarial\.disc"):
        run_training(build_train_config(wider))


def test_a_weight_alone_brings_a_critic_with_its_defaults():
    stage = {"name": "one", "steps": 1}
    configs = [
        build_train_config({"stages": [{**stage, "weights": weights}]}).stages[0].critic
        for weights in ({}, {"adversarial": 0.05}, {"matching": 0.1})
    ]
    assert configs[0] is None and configs[1] == configs[2]
    assert configs[1] is not None and configs[1].lr == 1e-4


def test_what_the_critic_says_counts_after_its_head_start_and_rises(photos: Path, tmp_path: Path):
    plain = compact(photos, tmp_path)
    plain["stages"][1] |= {"ramp": 4}
    config = build_train_config(plain)
    found = [ramp("adversarial", config.stages[1], step=step) for step in range(7)]
    assert found == [0, 0, 0.25, 0.5, 0.75, 1, 1]
    assert ramp("pixel", config.stages[1], step=6) == 1
