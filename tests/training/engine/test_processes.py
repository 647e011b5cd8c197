"""Several processes train as one does: the same samples, the same losses, the same checkpoints."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.training.engine.two_processes import KILLED_AT, STEPS, settings
from tests.training.regression import Regression
from tests.training.small import values
from vsr.training.engine.checkpoint import (
    SHARDS,
    checkpoint_folders,
    load_checkpoint,
    load_newest,
)
from vsr.training.loop import run_training

ROOT = Path(__file__).parents[3]


def launch(*command: str) -> None:
    """Run a Python file or module with its arguments in two processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*launcher, "--nproc-per-node=2", *command], cwd=ROOT, env=env, check=True, timeout=300
    )


def killed_run(run: Path) -> None:
    """A run of one process that dies."""
    with pytest.raises(KeyboardInterrupt):
        run_training(settings(run, processes=1), Regression(dropout=0, dies_at=KILLED_AT))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one process, of two, of two and then one, and of one and then two."""
    folder = tmp_path_factory.mktemp("runs")
    killed_run(folder / "one_then_two")
    launch("tests/training/engine/two_processes.py", str(folder), "train")
    run_training(settings(folder / "one", processes=1), Regression(dropout=0))
    run_training(settings(folder / "two_then_one", processes=1), Regression(dropout=0))
    return folder


@pytest.fixture(scope="module")
def sharded_runs(runs: Path) -> Path:
    """Runs of two processes by FSDP: whole, after one process, and with one process in between."""
    killed_run(runs / "one_then_fsdp")
    parts = ("train_sharded", "shard_networks")
    launch("tests/training/engine/two_processes.py", str(runs), *parts)
    return runs


def losses(run: Path) -> dict[int, float]:
    """The loss of every step; of a step that was done twice, the later one."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if line["kind"] == "train"}


def assert_same_losses(runs: Path, name: str) -> None:
    one, other = losses(runs / "one"), losses(runs / name)
    assert one.keys() == other.keys() == set(range(1, STEPS + 1))
    assert max(abs(one[step] - other[step]) for step in one) < 1e-4


def assert_same_weights(runs: Path, name: str) -> None:
    one, other = (load_checkpoint(checkpoint_folders(runs / n)[-1]) for n in ("one", name))
    assert one.model.keys() == other.model.keys() and one.ema.keys() == other.ema.keys()
    for ours, theirs in ((one.model, other.model), (one.ema, other.ema)):
        for key in ours:
            torch.testing.assert_close(ours[key], theirs[key], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["two", "two_then_one", "one_then_two"])
def test_the_losses_are_those_of_one_process(runs: Path, name: str):
    assert_same_losses(runs, name)


@pytest.mark.parametrize("name", ["two", "two_then_one", "one_then_two"])
def test_the_weights_and_their_average_are_those_of_one_process(runs: Path, name: str):
    assert_same_weights(runs, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fsdp", "one_then_fsdp", "fsdp_one_fsdp"])
def test_a_sharded_run_is_that_of_one_process_whatever_number_resumes_it(
    sharded_runs: Path, name: str
):
    newest = checkpoint_folders(sharded_runs / name)[-1]
    assert len(list((newest / SHARDS).iterdir())) == 2
    assert_same_losses(sharded_runs, name)
    assert_same_weights(sharded_runs, name)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [Path.unlink, lambda file: os.truncate(file, 40)])
def test_a_checkpoint_that_lacks_a_shard_is_named_and_the_one_before_is_used(
    sharded_runs: Path, tmp_path: Path, damage: Any, caplog: pytest.LogCaptureFixture
):
    shutil.copytree(sharded_runs / "fsdp", tmp_path / "run")
    before, newest = checkpoint_folders(tmp_path / "run")
    damage(sorted((newest / SHARDS).iterdir())[1])
    folder, _ = load_newest([before, newest])
    assert folder == before
    assert "a file of its shards is missing or cut off" in caplog.text


@pytest.mark.slow
def test_the_command_trains_a_sharded_network_and_ends_cleanly(photos: Path, tmp_path: Path):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(values(photos, tmp_path / "run", precision="no", fsdp=True)))
    launch("-m", "vsr", "train", str(config))
    newest = checkpoint_folders(tmp_path / "run")[-1]
    assert load_checkpoint(newest).progress.stage == 2


def test_two_processes_share_the_samples_without_overlap_or_loss(runs: Path):
    first, second = (json.loads((runs / f"numbers_{rank}.json").read_text()) for rank in (0, 1))
    assert not set(first) & set(second)
    assert sorted(first + second) == list(range(4 * STEPS))
    assert len(first) == len(second)


def test_each_process_keeps_its_own_random_generator(runs: Path):
    saved = load_checkpoint(checkpoint_folders(runs / "two")[-1]).rng
    assert len(saved) == 2
    assert not torch.equal(saved[0]["cpu"], saved[1]["cpu"])
