"""Windows cover every token once at any size, and putting them back is exact."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vsr.errors import ConfigError
from vsr.ops.attention import attend
from vsr.ops.windows import Size3, merge, partition, strips, window_groups

SIZES = st.tuples(*[st.integers(1, 12)] * 3)
WINDOWS = st.tuples(*[st.integers(1, 8)] * 3)


def _numbered(batch: int, shape: tuple[int, int, int]) -> torch.Tensor:
    t, h, w = shape
    return torch.arange(batch * 2 * t * h * w, dtype=torch.float32).view(batch, 2, t, h, w)


def _self_attention(tokens: torch.Tensor) -> torch.Tensor:
    heads = tokens.unsqueeze(1)
    return attend(heads, heads, heads).squeeze(1)


def _windowed(x: torch.Tensor, attention, *, window: Size3, shifted: bool = False) -> torch.Tensor:
    """`attention` of the tokens of each window, in its place."""
    groups = window_groups(tuple(x.shape[2:]), window=window, shifted=shifted)
    return merge([attention(tokens) for tokens in partition(x, groups)], groups)


@settings(max_examples=150, deadline=None)
@given(shape=SIZES, window=WINDOWS, shifted=st.booleans(), batch=st.integers(1, 2))
def test_merge_is_the_exact_inverse_of_partition(shape, window, shifted, batch):
    x = _numbered(batch, shape)
    groups = window_groups(shape, window=window, shifted=shifted)
    assert torch.equal(merge(partition(x, groups), groups), x)


def test_every_length_of_an_axis_is_covered_by_few_runs_of_windows_within_the_size():
    for n, size, shifted in itertools.product(range(1, 13), range(1, 9), (False, True)):
        groups = window_groups((n, 1, 1), window=(size, 1, 1), shifted=shifted)
        assert len(groups) <= (3 if shifted else 2)
        assert all(1 <= group.t.size <= size for group in groups)
        covered = [i for group in groups for i in range(n)[group.t.span]]
        assert covered == list(range(n))


@settings(max_examples=50, deadline=None)
@given(shape=SIZES, window=WINDOWS, shifted=st.booleans())
def test_every_token_is_in_exactly_one_window(shape, window, shifted):
    x = _numbered(1, shape)[:, :1]
    parts = partition(x, window_groups(shape, window=window, shifted=shifted))
    tokens = torch.cat([part.flatten() for part in parts])
    assert torch.equal(tokens.sort().values, x.flatten())


@pytest.mark.parametrize("shifted", [False, True])
def test_a_window_larger_than_the_map_is_full_attention(shifted):
    x = torch.randn(2, 8, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    full = _self_attention(x.flatten(2).transpose(1, 2)).transpose(1, 2).view_as(x)
    out = _windowed(x, _self_attention, window=(9, 9, 9), shifted=shifted)
    torch.testing.assert_close(out, full)


def test_a_border_window_attends_to_its_own_tokens_only():
    x = torch.randn(1, 8, 1, 1, 7, generator=torch.Generator().manual_seed(0))
    out = _windowed(x, _self_attention, window=(1, 1, 4))
    alone = _windowed(x[..., 4:], _self_attention, window=(1, 1, 3))
    torch.testing.assert_close(out[..., 4:], alone)


def test_shifted_windows_join_what_plain_windows_part():
    plain = window_groups((1, 1, 8), window=(1, 1, 4))
    shifted = window_groups((1, 1, 8), window=(1, 1, 4), shifted=True)
    assert [(g.w.start, g.w.size, g.w.count) for g in plain] == [(0, 4, 2)]
    assert [(g.w.start, g.w.size, g.w.count) for g in shifted] == [(0, 2, 1), (2, 4, 1), (6, 2, 1)]


@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(1, 9)),
    size=st.integers(1, 6),
    shifted=st.booleans(),
    longest=st.integers(1, 20),
)
def test_windows_of_strips_are_those_of_the_map(shape, size, shifted, longest):
    heights = strips(shape[1], window=size, shifted=shifted, longest=longest)
    assert sum(heights) == shape[1]
    x, window = _numbered(1, shape), (size, size, size)
    whole = partition(x, window_groups(shape, window=window, shifted=shifted))
    found = [
        part
        for strip in x.split(heights, dim=3)
        for part in partition(
            strip,
            window_groups(tuple(strip.shape[2:]), window=window, shifted=shifted, is_strip=True),
        )
    ]
    windows = (
        {tuple(tokens.flatten().tolist()) for p in parts for tokens in p}
        for parts in (whole, found)
    )
    assert next(windows) == next(windows)


def test_group_counts_stay_small():
    assert len(window_groups((5, 90, 45), window=(4, 8, 8))) == 8
    assert len(window_groups((5, 90, 45), window=(4, 8, 8), shifted=True)) <= 27


def test_gradients_flow_through_windows_to_every_token():
    x = torch.randn(1, 4, 3, 5, 7, requires_grad=True)
    _windowed(x, lambda tokens: 2 * tokens, window=(2, 3, 4), shifted=True).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.full_like(x, 2.0))


def test_an_empty_window_is_refused():
    with pytest.raises(ConfigError, match="at least 1"):
        window_groups((4, 4, 4), window=(0, 8, 8))
