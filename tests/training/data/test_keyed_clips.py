"""Samples of the keyed recipe: keys warped by estimated flow, targets by the exact one."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.networks import compact, saved
from vsr.errors import ConfigError
from vsr.models.image import ImageNetwork
from vsr.training.data.keyed_clips import (
    KeyedClips,
    KeyedClipsConfig,
    carry,
    exact_texture,
)
from vsr.training.data.keyed_shards import KeyedSample, KeyedShards
from vsr.training.preparation.keyed_shards import KeyedShardConfig, ShotSource, write_shards

CONFIG = KeyedClipsConfig(crop=24, frames=3)


@pytest.fixture(scope="module")
def shards(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    network = ImageNetwork.load(saved(compact(), folder / "small.safetensors"))
    config = KeyedShardConfig(
        photos=(photos,), crop=32, shard_samples=3, distance=(1, 4), held_out_every=3
    )
    write_shards(ShotSource(config), network, folder, numbers=range(2))
    return folder


def smooth_picture(size: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).random((size, size, 3), dtype=np.float32)
    return np.rint(cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 6), None, 0, 255, 32)).astype(  # pyright: ignore
        np.uint8
    )


def test_a_sample_depends_on_its_number_alone(shards: Path) -> None:
    first, second = KeyedClips(shards, CONFIG), KeyedClips(shards, CONFIG)
    second[5]
    for name, value in first[3].items():
        assert torch.equal(value, second[3][name]), name


def test_shapes_are_those_of_the_crop(shards: Path) -> None:
    sample = KeyedClips(shards, CONFIG)[0]
    shapes = {name: tuple(value.shape) for name, value in sample.items()}
    assert shapes == {
        "lr": (3, 3, 24, 24),
        "keys": (2, 3, 3, 96, 96),
        "confidence": (2, 3, 24, 24),
        "nearness": (2, 3),
        "blend": (),
        "target": (),
        "texture": (3, 96, 96),
        "hr": (3, 2, 96, 96),
        "flow_backward": (2, 1, 96, 96),
        "valid": (1, 96, 96),
    }


def test_shares_of_samples_lack_keys(shards: Path) -> None:
    clips = KeyedClips(shards, replace(CONFIG, no_keys=0.5, one_key=0.25))
    known = [clips._known_keys(np.random.default_rng([0, n])) for n in range(400)]
    counts = np.bincount([sum(keys) for keys in known]) / len(known)
    np.testing.assert_allclose(counts, [0.5, 0.25, 0.25], atol=0.07)


def test_a_key_is_carried_along_a_shift() -> None:
    picture = smooth_picture(4 * 60)
    here, there = picture[:192, :192], picture[8:200, 12:204]
    small = [cv2.resize(x, (48, 48), interpolation=cv2.INTER_AREA) for x in (here, there)]
    moved, trust = carry(small[1], small[0], here)
    inside = np.s_[32:-32, 32:-32]
    assert np.abs(moved.astype(float) - there)[inside].mean() < 3
    assert trust[8:-8, 8:-8].mean() > 0.8
    other = cv2.resize(smooth_picture(192, seed=1), (48, 48), interpolation=cv2.INTER_AREA)
    assert carry(other, small[0], here)[1].mean() < 0.4


def with_true_keys(shot: KeyedSample) -> KeyedSample:
    """The shot of a strong network that makes the truth, but nothing of the middle anchor."""
    strong = shot.truth[:, 0].copy()
    strong[1] = 0
    return replace(shot, strong=strong)


def test_texture_of_a_key_lies_where_the_exact_motion_says(shards: Path) -> None:
    compared = 0
    for shot in (KeyedShards(shards)[n] for n in range(6)):
        texture = exact_texture(with_true_keys(shot), 1, (True, True)).astype(float)
        core = cv2.erode(np.uint8(shot.far_valid[0]), np.ones((17, 17))) > 0
        compared += core.sum()
        if core.any():
            assert np.abs(texture - shot.truth[1, 0])[core].mean() < 3
    assert compared > 10_000


def test_texture_without_keys_is_the_strong_networks_own(shards: Path) -> None:
    shot = KeyedShards(shards)[0]
    assert np.array_equal(exact_texture(shot, 1, (False, False)), shot.strong[1])


def test_a_crop_that_does_not_fit_is_refused(shards: Path) -> None:
    with pytest.raises(ConfigError, match="does not fit"):
        KeyedClips(shards, replace(CONFIG, crop=40))
