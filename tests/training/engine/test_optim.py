import sys

import pytest
import torch
from torch import nn

from vsr.errors import ConfigError, DependencyError
from vsr.training.config import OptimizerConfig, StageConfig
from vsr.training.engine.optim import (
    choose_parameters,
    learning_rate,
    make_optimizer,
    set_learning_rate,
)


def network() -> nn.Module:
    return nn.ModuleDict({"trunk": nn.Linear(2, 3), "branch": nn.Linear(3, 4)})


def test_the_rate_rises_in_a_line_and_falls_in_a_cosine():
    stage = StageConfig("s", steps=110, lr=1.0, warmup=10, final_lr=0.1)
    assert learning_rate(0, stage) == pytest.approx(0.1)
    assert learning_rate(9, stage) == pytest.approx(1.0)
    assert learning_rate(60, stage) == pytest.approx(0.55)
    assert learning_rate(110, stage) == pytest.approx(0.1)
    rates = [learning_rate(step, stage) for step in range(10, 110)]
    assert rates == sorted(rates, reverse=True)


def test_a_constant_rate_stays():
    stage = StageConfig("s", steps=100, lr=0.5, warmup=0, schedule="constant")
    assert {learning_rate(step, stage) for step in range(100)} == {0.5}


def test_train_and_freeze_patterns_choose_what_trains():
    model = network()
    stage = StageConfig("s", steps=1, train=("trunk.*", "branch.weight"), freeze=("*.bias",))
    assert choose_parameters(model, stage) == 6 + 12
    trains = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trains == {"trunk.weight", "branch.weight"}


def test_each_group_gets_its_share_of_the_rate_and_vectors_do_not_decay():
    model = network()
    stage = StageConfig("s", steps=1, lr_scales={"trunk.*": 0.1})
    choose_parameters(model, stage)
    optimizer = make_optimizer(model, stage, OptimizerConfig(weight_decay=0.3))
    set_learning_rate(optimizer, 2.0)
    of = {id(p): g for g in optimizer.param_groups for p in g["params"]}
    rates = {n: (of[id(p)]["lr"], of[id(p)]["weight_decay"]) for n, p in model.named_parameters()}
    assert rates == {
        "trunk.weight": (pytest.approx(0.2), 0.3),
        "trunk.bias": (pytest.approx(0.2), 0.0),
        "branch.weight": (2.0, 0.3),
        "branch.bias": (2.0, 0.0),
    }


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ({"train": ("trnk.*",)}, "no parameter is called like"),
        ({"freeze": ("*",)}, "nothing trains"),
    ],
)
def test_patterns_that_leave_nothing_are_errors(patterns: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        choose_parameters(network(), StageConfig("s", steps=1, **patterns))


def test_frozen_parameters_stay_bit_for_bit():
    model = network()
    stage = StageConfig("s", steps=1, train=("branch.*",))
    choose_parameters(model, stage)
    before = model["trunk"].weight.clone()
    optimizer = make_optimizer(model, stage, OptimizerConfig())
    model["branch"](model["trunk"](torch.ones(1, 2))).sum().backward()
    optimizer.step()
    assert torch.equal(model["trunk"].weight, before)


def test_states_in_8_bits_need_their_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(DependencyError, match=r"\.\[8bit\]"):
        make_optimizer(network(), StageConfig("s", steps=1), OptimizerConfig(kind="adamw8bit"))
