"""Checkpoints survive a kill at any instant, and damage to the newest one."""

import dataclasses
import logging
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import distribute_tensor

from tests.crash.points import LibraryWrite, crash, crashes
from tests.training.regression import Regression, config
from vsr.errors import InputError
from vsr.training.engine import checkpoint as checkpoints
from vsr.training.engine.checkpoint import (
    BEST,
    EMA,
    MODEL,
    OPTIMIZER,
    STATE,
    Checkpoint,
    TrainingProgress,
    checkpoint_folders,
    find_checkpoint,
    load_checkpoint,
    load_newest,
    save_best,
    save_checkpoint,
)
from vsr.training.loop import run_training

WRITES = (LibraryWrite(checkpoints, "save_file", 1), LibraryWrite(torch, "save", 1))
FORKS = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def checkpoint(total: int, value: float | None = None) -> Checkpoint:
    weight = torch.full((4,), float(total if value is None else value))
    return Checkpoint(
        model={"weight": weight},
        ema={"weight": weight / 2},
        optimizer={"state": {0: weight}},
        rng=[{"cpu": torch.get_rng_state(), "cuda": None}],
        progress=TrainingProgress(total=total),
        config={},
    )


def value(loaded: Checkpoint) -> float:
    """The number in all tensors of a checkpoint of `checkpoint`."""
    assert torch.equal(loaded.ema["weight"] * 2, loaded.model["weight"])
    assert loaded.optimizer and torch.equal(loaded.optimizer["state"][0], loaded.model["weight"])
    return float(loaded.model["weight"][0])


@FORKS
@pytest.mark.parametrize("keep", [1, 2])
@pytest.mark.parametrize("total", [2, 3], ids=["replaces the newest", "comes after the newest"])
def test_a_kill_at_any_instant_of_saving_leaves_the_old_checkpoint_or_the_new_one(
    tmp_path: Path, keep: int, total: int, caplog: pytest.LogCaptureFixture
) -> None:
    new = checkpoint(total, 30)

    def prepare(number: int) -> Path:
        run = tmp_path / str(number)
        for old in (1, 2):
            save_checkpoint(run, checkpoint(old), keep=keep)
        save_best(run, checkpoint_folders(run)[0])
        return run

    def work(run: Path) -> None:
        save_best(run, save_checkpoint(run, new, keep=keep))

    found = set[float]()
    points = 0
    for run in crashes(prepare, work, writes=WRITES):
        points += 1
        folder, newest = load_newest(checkpoint_folders(run))
        assert value(load_checkpoint(folder)) == value(newest) in (2, 30)
        assert value(load_checkpoint(find_checkpoint(run / "checkpoints" / BEST))) in (1, 2, 30)
        found.add(value(newest))
        work(run)
        names = {path.name for path in (run / "checkpoints").iterdir()}
        assert names == {BEST, *(path.name for path in checkpoint_folders(run))}, "leftovers"
        assert len(checkpoint_folders(run)) == keep
    assert points > 25
    assert found == {2, 30}
    assert not caplog.records, "nothing was damaged"


@pytest.fixture
def one_thread() -> Iterator[None]:
    """A forked process lacks the other threads of OpenMP, and would wait for them for ever."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def save_shards(run: Path, *totals: int, value: float | None = None) -> None:
    """Save checkpoints as the only process of a run by FSDP, in a fork, which keeps the group."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    mesh = init_device_mesh("cpu", (1,))
    for total in totals:
        plain = checkpoint(total, value)
        model, ema = (distribute_tensor(part["weight"], mesh) for part in (plain.model, plain.ema))
        shards = {"weight": {"average": ema.clone()}}
        both = {"model": {"weight": model}, "ema": {"weight": ema}, "optimizer": shards}
        save_checkpoint(run, dataclasses.replace(plain, **both), keep=2)


def sharded_value(loaded: Checkpoint) -> float:
    """The number in all tensors of a checkpoint of `save_shards`."""
    model, ema = loaded.model["weight"], loaded.ema["weight"]
    assert torch.equal(ema * 2, model)
    assert loaded.optimizer
    assert torch.equal(loaded.optimizer["weight"]["average"], ema)
    return float(model[0])


@FORKS
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("total", "every"),
    [
        (3, 17),
        pytest.param(2, 1, marks=pytest.mark.slow, id="replaces the newest"),
        pytest.param(3, 1, marks=pytest.mark.slow, id="comes after the newest"),
    ],
)
def test_a_kill_at_any_instant_of_saving_shards_leaves_the_old_checkpoint_or_the_new_one(
    tmp_path: Path, total: int, every: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert not crash(0, partial(save_shards, tmp_path / "old", 1, 2))
    save = partial(save_shards, value=30)

    def prepare(number: int) -> Path:
        return Path(shutil.copytree(tmp_path / "old", tmp_path / str(number)))

    found = set[float]()
    points = 0
    for run in crashes(prepare, lambda run: save(run, total), every=every, writes=WRITES):
        points += 1
        folder, newest = load_newest(checkpoint_folders(run))
        assert sharded_value(load_checkpoint(folder)) == sharded_value(newest) in (2, 30)
        found.add(sharded_value(newest))
        assert not crash(0, partial(save, run, total))
        folders = checkpoint_folders(run)
        assert {path.name for path in (run / "checkpoints").iterdir()} == {
            path.name for path in folders
        }, "leftovers"
        assert sharded_value(load_newest(folders)[1]) == 30
        assert len(folders) == 2
        shutil.rmtree(run)
    assert points * every > 25
    assert every > 1 or found == {2, 30}
    assert all(record.levelno < logging.WARNING for record in caplog.records), "damaged"


@FORKS
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("every", [43, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_at_any_instant_resumes_to_the_same_weights(
    tmp_path: Path, every: int
) -> None:
    def weights(run: Path) -> dict[str, Tensor]:
        newest = load_checkpoint(checkpoint_folders(run)[-1])
        best = load_checkpoint(find_checkpoint(run / "checkpoints" / BEST))
        together = {"model": newest.model, "ema": newest.ema, "best": best.ema}
        return {f"{k}.{n}": v for k, part in together.items() for n, v in part.items()}

    def train(run: Path) -> None:
        run_training(config(run, log_every=99, keep=1), Regression())

    train(tmp_path / "whole")
    whole = weights(tmp_path / "whole")
    points = 0
    for run in crashes(lambda number: tmp_path / str(number), train, every=every, writes=WRITES):
        points += 1
        train(run)
        assert all(torch.equal(whole[name], part) for name, part in weights(run).items())
        shutil.rmtree(run)
    assert points * every > 150


@pytest.mark.parametrize("name", [MODEL, EMA, OPTIMIZER, STATE])
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(b"\x80" * path.stat().st_size),
    ],
    ids=["missing", "empty", "cut off", "overwritten"],
)
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used(
    tmp_path: Path, name: str, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    for total in (1, 2):
        save_checkpoint(tmp_path, checkpoint(total), keep=2)
    folders = checkpoint_folders(tmp_path)
    damage(folders[1] / name)
    with caplog.at_level(logging.WARNING):
        folder, loaded = load_newest(folders)
    assert (folder, value(loaded)) == (folders[0], 1)
    assert f"{folders[1]} is damaged: " in caplog.text
    assert f"{folders[0].name} is used instead" in caplog.text


def test_a_run_resumes_from_the_checkpoint_before_a_damaged_one(tmp_path: Path) -> None:
    run_training(config(tmp_path / "whole"), Regression())
    run_training(config(tmp_path / "damaged"), Regression())
    last = checkpoint_folders(tmp_path / "damaged")[-1]
    (last / MODEL).write_bytes(b"")
    run_training(config(tmp_path / "damaged"), Regression())
    ours, theirs = (load_checkpoint(checkpoint_folders(tmp_path / n)[-1]) for n in
                    ("whole", "damaged"))  # fmt: skip
    assert all(torch.equal(ours.model[name], theirs.model[name]) for name in ours.model)


def test_a_damaged_later_checkpoint_does_not_push_out_a_good_one(tmp_path: Path) -> None:
    for total in (1, 5):
        save_checkpoint(tmp_path, checkpoint(total), keep=2)
    (checkpoint_folders(tmp_path)[1] / STATE).unlink()
    save_checkpoint(tmp_path, checkpoint(2), keep=1)
    assert value(load_newest(checkpoint_folders(tmp_path))[1]) == 2


def test_a_run_whose_checkpoints_are_all_damaged_says_so(tmp_path: Path) -> None:
    run_training(config(tmp_path), Regression())
    for folder in checkpoint_folders(tmp_path):
        (folder / OPTIMIZER).unlink()
    with pytest.raises(InputError, match="begin again in another run folder"):
        run_training(config(tmp_path), Regression())


def test_progress_of_older_checkpoints_loads() -> None:
    values = dataclasses.asdict(TrainingProgress(total=3))
    del values["best_total"]
    assert TrainingProgress(**values).best_total is None
