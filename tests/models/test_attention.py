"""Each kind of attention equals a plain formula, and sees what it should and nothing else."""

import math

import pytest
import torch
import torch.nn.functional as F

from tests.models.rotation import turned
from vsr.models.attention import (
    Attention,
    AttentionContext,
    FrameAttention,
    TemporalAttention,
    TextAttention,
    WindowAttention,
    relative_buckets,
)
from vsr.models.rope import rotary_frequencies

HEADS, CHANNELS = 2, 16


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def _tokens(t: int = 3, h: int = 4, w: int = 5, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, t, h, w, CHANNELS, generator=torch.Generator().manual_seed(1))


def _heads(x: torch.Tensor) -> torch.Tensor:
    """n tokens c -> n heads tokens d."""
    return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def _plain(layer: Attention, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias=0.0):
    """softmax(q k / sqrt(d) + bias) v of heads, then the output projection."""
    logits = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias
    y = (logits.softmax(-1) @ v).transpose(1, 2).flatten(2)
    return layer.to_out[0](y)


def _close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_frame_attention_is_plain_attention_within_each_frame():
    layer, x = FrameAttention(CHANNELS, HEADS), _tokens()
    tokens = x.flatten(0, 1).flatten(1, 2)
    q, k, v = (_heads(p(tokens)) for p in (layer.to_q, layer.to_k, layer.to_v))
    _close(layer(x), _plain(layer, q, k, v).view_as(x))


def test_frame_attention_in_windows_sees_each_block_by_itself():
    layer, x = FrameAttention(CHANNELS, HEADS), _tokens()
    whole = layer(x)
    left, right = layer(x[:, :, :3, :3]), layer(x[:, :, :3, 3:])
    found = layer(x, AttentionContext(frame_window=3))
    _close(found[:, :, :3, :3], left)
    _close(found[:, :, :3, 3:], right)
    assert not torch.allclose(found, whole, atol=1e-3)


def test_frame_attention_in_a_window_over_the_whole_frame_is_exact():
    layer, x = FrameAttention(CHANNELS, HEADS, shifted=True), _tokens()
    whole = layer(x)
    _close(layer(x, AttentionContext(frame_window=8)), whole)


def test_text_attention_is_plain_attention_of_every_token_to_the_words():
    layer, x = TextAttention(CHANNELS, HEADS, context_channels=6), _tokens()
    text = torch.randn(2, 7, 6)
    q, k, v = (_heads(p) for p in (layer.to_q(x.flatten(1, 3)), layer.to_k(text), layer.to_v(text)))
    _close(layer(x, AttentionContext(text)), _plain(layer, q, k, v).view_as(x))


def test_text_attention_insists_on_text():
    with pytest.raises(AssertionError, match="text"):
        TextAttention(CHANNELS, HEADS, context_channels=6)(_tokens(), AttentionContext())


def test_temporal_attention_is_plain_attention_along_time_with_rotation_and_bias():
    layer, x = TemporalAttention(CHANNELS, HEADS), _tokens(t=9)
    frequencies = rotary_frequencies(6)
    tokens = x.permute(0, 2, 3, 1, 4).flatten(0, 2)
    angles = torch.arange(9)[:, None] * frequencies
    q, k = (turned(_heads(p(tokens)), angles) for p in (layer.to_q, layer.to_k))
    table = layer.time_rel_pos_bias.relative_attention_bias.weight
    bias = torch.empty(HEADS, 9, 9)
    for i in range(9):
        for j in range(9):
            # keys behind the query: buckets 0 to 15; ahead of it: from 16
            bias[:, i, j] = table[i - j if j <= i else 16 + j - i]
    y = _plain(layer, q, k, _heads(layer.to_v(tokens)), bias)
    found = layer(x, AttentionContext(rotary=frequencies))
    _close(found, y.view(2, 4, 5, 9, CHANNELS).permute(0, 3, 1, 2, 4))


def test_buckets_are_exact_for_near_frames_and_logarithmic_up_to_the_last():
    distance = torch.tensor([[0, -1, -7, -8, -16, -31, -32, -99, 1, 7, 8, 16, 99]])
    found = relative_buckets(distance, buckets=32, max_distance=32)
    assert found.tolist() == [[0, 1, 7, 8, 12, 15, 15, 15, 17, 23, 24, 28, 31]]


def test_a_window_over_the_whole_map_is_plain_attention_with_rotated_positions():
    x = _tokens()
    layer = WindowAttention(CHANNELS, HEADS, window=(3, 4, 5), shifted=True)
    # 4 pairs of a head's 8 channels: 2 for time, 1 each for height and width
    one, two = rotary_frequencies(2, theta=100.0), rotary_frequencies(4, theta=100.0)
    places = torch.cartesian_prod(torch.arange(3), torch.arange(4), torch.arange(5))
    angles = torch.cat([places[:, :1] * two, places[:, 1:2] * one, places[:, 2:] * one], dim=1)
    tokens = x.flatten(1, 3)
    q, k = (turned(_heads(p(tokens)), angles) for p in (layer.to_q, layer.to_k))
    _close(layer(x), _plain(layer, q, k, _heads(layer.to_v(tokens))).view_as(x))


def test_windows_of_one_token_give_every_token_its_own_value():
    layer, x = WindowAttention(CHANNELS, HEADS, window=(1, 1, 1), shifted=False), _tokens()
    _close(layer(x), layer.to_out[0](layer.to_v(x)))


def test_tokens_of_a_window_see_their_window_alone():
    layer, x = WindowAttention(CHANNELS, HEADS, window=(2, 2, 3), shifted=False), _tokens(4, 4, 6)
    other = x.clone()
    other[:, 0, 0, 0] += 1
    changed = (layer(other) - layer(x)).abs().amax(dim=(0, 4)) > 1e-6
    expected = torch.zeros_like(changed)
    expected[:2, :2, :3] = True
    assert torch.equal(changed, expected)


def test_windows_give_the_same_wherever_they_lie():
    layer = WindowAttention(CHANNELS, HEADS, window=(2, 2, 3), shifted=False)
    x = _tokens(2, 2, 3).repeat(1, 2, 3, 2, 1)
    y = layer(x)
    _close(y, y[:, :2, :2, :3].repeat(1, 2, 3, 2, 1))


def test_heads_of_attention_do_not_mix():
    layer, x = FrameAttention(CHANNELS, HEADS), _tokens()
    tokens = x.flatten(0, 1).flatten(1, 2)
    q, k, v = (p(tokens) for p in (layer.to_q, layer.to_k, layer.to_v))
    half = CHANNELS // HEADS
    alone = F.scaled_dot_product_attention(q[..., :half], k[..., :half], v[..., :half])
    _close(layer.attend(q, k, v)[..., :half], alone)
