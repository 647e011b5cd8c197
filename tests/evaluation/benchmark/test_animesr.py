"""The adapter of AnimeSR, with random weights: its form, its direction in time, its padding."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vsr.evaluation.benchmark.animesr import AnimeSR, enlarged, is_animesr, load_animesr
from vsr.evaluation.benchmark.methods import benchmark_methods

CPU = torch.device("cpu")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "animesr.safetensors"
    save_file(AnimeSR().state_dict(), path)
    return path


def pictures(count: int, *, size: tuple[int, int] = (8, 12)) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 255, (*size, 3)).astype(np.uint8) for _ in range(count)]


def test_its_file_is_recognised_and_is_a_method_of_its_own(weights: Path, tmp_path: Path) -> None:
    assert is_animesr(weights)
    save_file({"conv.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    assert not is_animesr(tmp_path / "other.safetensors")
    assert not is_animesr(tmp_path / "nowhere.safetensors")
    methods = list(benchmark_methods([str(weights)]))
    assert [method.name for method in methods] == ["bicubic", "lanczos", "animesr"]


def test_it_has_the_published_number_of_weights(weights: Path) -> None:
    network = load_animesr(weights)
    assert sum(value.numel() for value in network.parameters()) == 1_495_376


def test_a_frame_depends_on_all_before_it_and_on_one_after_it(weights: Path) -> None:
    clip = pictures(5)
    whole = list(enlarged(clip, weights, CPU, size=(48, 32)))
    shorter = list(enlarged(clip[:4], weights, CPU, size=(48, 32)))
    assert all(np.array_equal(*pair) for pair in zip(whole[:3], shorter[:3], strict=True))
    later = list(enlarged(clip[1:], weights, CPU, size=(48, 32)))
    assert not np.array_equal(whole[2], later[1])


def test_odd_sizes_are_padded_by_their_edge(weights: Path) -> None:
    clip = pictures(2, size=(7, 10))
    found = list(enlarged(clip, weights, CPU, size=(40, 28)))
    padded = [np.pad(one, ((0, 1), (0, 2), (0, 0)), mode="edge") for one in clip]
    expected = list(enlarged(padded, weights, CPU, size=(48, 32)))
    assert [one.shape for one in found] == [(28, 40, 3)] * 2
    assert np.array_equal(found[1], expected[1][:28, :40])
