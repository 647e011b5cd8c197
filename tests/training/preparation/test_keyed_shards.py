"""Shards of the keyed recipe: a function of their number, with motion that is exact."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.networks import compact, saved
from vsr.errors import InputError
from vsr.models.image import ImageNetwork
from vsr.training.data.keyed_shards import KeyedSample, KeyedShards, decode, encode
from vsr.training.preparation.keyed_shards import (
    KeyedShardConfig,
    ShotSource,
    draw_anchors,
    write_shards,
)

CROP = 32


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> ImageNetwork:
    path = tmp_path_factory.mktemp("network") / "small.safetensors"
    return ImageNetwork.load(saved(compact(), path))


@pytest.fixture(scope="module")
def config(photos: Path) -> KeyedShardConfig:
    return KeyedShardConfig(
        photos=(photos,), crop=CROP, shard_samples=2, distance=(1, 3), held_out_every=3
    )


@pytest.fixture(scope="module")
def sample(config: KeyedShardConfig, network: ImageNetwork) -> KeyedSample:
    return ShotSource(config)(0, network)


def test_a_sample_is_a_function_of_its_number(
    config: KeyedShardConfig, network: ImageNetwork, sample: KeyedSample
) -> None:
    again = ShotSource(config)(0, network)
    other = ShotSource(config)(1, network)
    assert np.array_equal(again.small, sample.small)
    assert np.array_equal(again.strong, sample.strong)
    assert not np.array_equal(other.truth, sample.truth)


def test_true_neighbours_agree_along_the_stored_motion(
    config: KeyedShardConfig, network: ImageNetwork
) -> None:
    source, errors = ShotSource(config), []
    for number in range(4):
        shot = source(number, network)
        for flow, valid, pair in zip(shot.flow, shot.valid, shot.truth, strict=True):
            large = cv2.resize(flow.transpose(1, 2, 0), (4 * CROP, 4 * CROP))
            y, x = np.mgrid[: 4 * CROP, : 4 * CROP].astype(np.float32)
            moved = cv2.remap(pair[0], x + large[..., 0], y + large[..., 1], cv2.INTER_CUBIC)
            errors.append(np.abs(moved.astype(float) - pair[1])[valid].mean())
    assert np.mean(errors) < 1.5  # grey levels of resampling; unwarped frames differ by 5 to 20


def test_stored_small_frames_come_back_exactly(sample: KeyedSample) -> None:
    stored = {name.partition(".")[2]: value for name, value in encode(sample, 3).items()}
    again = decode(stored, crop=CROP, scale=4)
    assert np.array_equal(again.small, sample.small)
    assert np.array_equal(again.valid, sample.valid)
    assert np.array_equal(again.frames, sample.frames)
    assert np.abs(again.flow - sample.flow).max() < 0.01
    assert np.abs(again.strong.astype(float) - sample.strong).mean() < 3


def test_strong_frames_are_the_networks_own(network: ImageNetwork, sample: KeyedSample) -> None:
    anchor = sample.small[1, 1]
    nearest = cv2.resize(anchor, (4 * CROP, 4 * CROP), interpolation=cv2.INTER_NEAREST)
    # the network of these tests gives the nearest enlargement and a little more
    assert np.abs(sample.strong[1].astype(float) - nearest).mean() < 25


def test_anchors_keep_their_distance() -> None:
    rng = np.random.default_rng(0)
    drawn = np.stack([draw_anchors((2, 5), rng) for _ in range(200)])
    gaps = np.diff(drawn)
    assert gaps.min() == 2
    assert gaps.max() == 5
    assert (drawn[:, 0] == 1).all()


def test_a_run_that_was_broken_off_goes_on(
    config: KeyedShardConfig, network: ImageNetwork, tmp_path: Path
) -> None:
    source = ShotSource(config)
    assert write_shards(source, network, tmp_path, numbers=range(2)) == 2
    second = (tmp_path / "shard_00001.safetensors").read_bytes()
    (tmp_path / "shard_00001.safetensors").unlink()
    assert write_shards(ShotSource(config), network, tmp_path, numbers=range(2)) == 1
    assert (tmp_path / "shard_00001.safetensors").read_bytes() == second
    assert len(KeyedShards(tmp_path)) == 4
    expected = source(2, network)
    assert np.array_equal(KeyedShards(tmp_path)[2].small, expected.small)


def test_shards_of_other_settings_are_refused(
    config: KeyedShardConfig, network: ImageNetwork, tmp_path: Path
) -> None:
    write_shards(ShotSource(config), network, tmp_path, numbers=range(0))
    other = ShotSource(replace(config, seed=1))
    with pytest.raises(InputError, match="other settings"):
        write_shards(other, network, tmp_path, numbers=range(1))
