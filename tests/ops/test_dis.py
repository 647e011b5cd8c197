"""The search gives flow for pictures of any size, and does not remember other calls."""

import numpy as np
import pytest

from vsr.ops.dis import DenseSearch
from vsr.restoration.flicker import brightness_image, change_between
from vsr.restoration.neighbours import flows_between

SIZES = [(8, 400), (30, 700), (400, 8), (2, 64), (1, 1), (32, 32)]


def pair(size: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.random(size).astype(np.float32) for _ in range(2)]


@pytest.mark.parametrize("size", SIZES)
def test_small_and_narrow_pictures_have_flow(size: tuple[int, int]) -> None:
    first, second = (np.asarray(255 * one, np.uint8) for one in pair(size))
    for initial in (None, np.zeros((*size, 2), np.float32)):
        flow = DenseSearch()(first, second, initial)
        assert flow.shape == (*size, 2)
        assert np.isfinite(flow).all()


@pytest.mark.parametrize("size", SIZES)
def test_repairs_of_small_and_narrow_films_have_it_too(size: tuple[int, int]) -> None:
    first, second = pair(size)
    assert all(flow.shape == (*size, 2) for flow in flows_between(first, second))
    assert np.isfinite(change_between(*map(brightness_image, (first, second))).overall)


def test_an_initial_flow_is_forgotten() -> None:
    first, second = (np.asarray(255 * one, np.uint8) for one in pair((64, 64)))
    search = DenseSearch()
    expected = search(first, second)
    search(second, first, np.full((64, 64, 2), 3, np.float32))
    assert np.array_equal(search(first, second), expected)
