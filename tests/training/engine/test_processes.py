"""Several processes train as one does: the same samples, the same losses, the same checkpoints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training.engine.two_processes import KILLED_AT, STEPS, settings
from tests.training.regression import Regression
from vsr.training.engine.checkpoint import checkpoint_folders, load_checkpoint
from vsr.training.loop import run_training

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one process, of two, of two and then one, and of one and then two."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.raises(KeyboardInterrupt):
        dying = Regression(dropout=0, dies_at=KILLED_AT)
        run_training(settings(folder / "one_then_two", processes=1), dying)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run(
        [*launch, "tests/training/engine/two_processes.py", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=300,
    )
    run_training(settings(folder / "one", processes=1), Regression(dropout=0))
    run_training(settings(folder / "two_then_one", processes=1), Regression(dropout=0))
    return folder


def losses(run: Path) -> dict[int, float]:
    """The loss of every step; of a step that was done twice, the later one."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if line["kind"] == "train"}


@pytest.mark.parametrize("name", ["two", "two_then_one", "one_then_two"])
def test_the_losses_are_those_of_one_process(runs: Path, name: str):
    one, other = losses(runs / "one"), losses(runs / name)
    assert one.keys() == other.keys() == set(range(1, STEPS + 1))
    assert max(abs(one[step] - other[step]) for step in one) < 1e-4


@pytest.mark.parametrize("name", ["two", "two_then_one", "one_then_two"])
def test_the_weights_and_their_average_are_those_of_one_process(runs: Path, name: str):
    one, other = (load_checkpoint(checkpoint_folders(runs / n)[-1]) for n in ("one", name))
    for ours, theirs in ((one.model, other.model), (one.ema, other.ema)):
        for key in ours:
            torch.testing.assert_close(ours[key], theirs[key], atol=1e-4, rtol=0)


def test_two_processes_share_the_samples_without_overlap_or_loss(runs: Path):
    first, second = (json.loads((runs / f"numbers_{rank}.json").read_text()) for rank in (0, 1))
    assert not set(first) & set(second)
    assert sorted(first + second) == list(range(4 * STEPS))
    assert len(first) == len(second)


def test_each_process_keeps_its_own_random_generator(runs: Path):
    saved = load_checkpoint(checkpoint_folders(runs / "two")[-1]).rng
    assert len(saved) == 2
    assert not torch.equal(saved[0]["cpu"], saved[1]["cpu"])
