"""Tiles cover a map with weights that sum to one, and blending them is the inverse of cropping."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vsr.errors import ConfigError
from vsr.ops.tiles import blend_tiles, fit_tiles, plan_tiles

PLANS = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 16)).flatmap(
    lambda plan: st.tuples(*map(st.just, plan), st.integers(0, plan[2] - 1))
)


@settings(max_examples=100, deadline=None)
@given(plan=PLANS)
def test_crops_blended_again_are_the_map(plan):
    h, w, tile, overlap = plan
    x = torch.randn(1, 2, h, w, generator=torch.Generator().manual_seed(0)).double()
    tiles = plan_tiles(h, w, tile=tile, overlap=overlap)
    torch.testing.assert_close(blend_tiles((t.crop(x) for t in tiles), tiles), x)


def test_tiles_are_full_size_and_overlap_enough():
    tiles = plan_tiles(100, 70, tile=32, overlap=8)
    assert all(t.crop(torch.empty(100, 70)).shape == (32, 32) for t in tiles)
    starts = sorted({t.rows.start for t in tiles})
    assert all(b - a <= 24 for a, b in pairwise(starts))


def test_a_plan_of_four_times_all_numbers_has_four_times_the_crops():
    small = plan_tiles(50, 70, tile=32, overlap=8)
    large = plan_tiles(200, 280, tile=128, overlap=32)
    assert [(4 * t.rows.start, 4 * t.columns.stop) for t in small] == [
        (t.rows.start, t.columns.stop) for t in large
    ]


def test_weights_ramp_evenly_from_one_tile_to_the_next():
    first, second = plan_tiles(1, 7, tile=5, overlap=3)
    assert first.columns.weights == pytest.approx((1, 1, 0.75, 0.5, 0.25))
    assert second.columns.weights == pytest.approx((0.25, 0.5, 0.75, 1, 1))


def test_a_small_map_is_one_tile():
    assert len(plan_tiles(20, 30, tile=32, overlap=8)) == 1


def test_an_overlap_as_large_as_the_tile_is_refused():
    with pytest.raises(ConfigError, match="overlap < tile"):
        plan_tiles(64, 64, tile=16, overlap=16)


@settings(max_examples=100, deadline=None)
@given(plan=PLANS, multiple_of=st.integers(1, 8))
def test_fitted_tiles_cover_a_map_and_its_enlargement(plan, multiple_of):
    h, w, tile, overlap = plan
    x = torch.randn(1, 2, h, w, generator=torch.Generator().manual_seed(0)).double()
    options = {"tile": tile, "overlap": overlap, "multiple_of": multiple_of}
    small, large = (fit_tiles(h, w, **options, enlarge=enlarge) for enlarge in (1, 2))
    torch.testing.assert_close(blend_tiles((t.crop(x) for t in small), small), x)
    enlarge = torch.nn.Upsample(scale_factor=2)
    torch.testing.assert_close(blend_tiles((enlarge(t.crop(x)) for t in small), large), enlarge(x))


@pytest.mark.parametrize(
    ("size", "multiple_of", "shape"),
    [((480, 640), 1, (256, 336)), ((480, 640), 16, (256, 336)), ((480, 640), 64, (256, 384))],
)
def test_fitted_tiles_are_as_equal_as_the_rule_allows(size, multiple_of, shape):
    tiles = fit_tiles(*size, tile=384, overlap=32, multiple_of=multiple_of)
    assert len(tiles) == 4
    assert {tuple(t.crop(torch.empty(size)).shape) for t in tiles} == {shape}


def test_a_map_as_large_as_the_tile_is_one_tile_without_rounding():
    (tile,) = fit_tiles(30, 50, tile=50, overlap=8, multiple_of=16)
    assert tile.crop(torch.empty(30, 50)).shape == (30, 50)
