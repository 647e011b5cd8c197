"""A transformer keeps its map's shape, and untrained in time gives each frame by itself."""

import pytest
import torch

from vsr.models.attention import AttentionContext
from vsr.models.blocks import BlockStyle
from vsr.models.rope import rotary_frequencies
from vsr.models.transformer import TransformerStyle, VideoTransformer

HEADS, CHANNELS = 2, 16
STYLE = TransformerStyle(
    cross_attention_dim=6,
    window=(2, 2, 2),
    temporal_attention=True,
    temporal_resnet=True,
    norm="frame",
    groups=4,
    ff_mult=2,
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def _close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["none", "full", "window", "text"])
def test_a_transformer_keeps_the_shape_of_its_map(kind):
    transformer = VideoTransformer(
        CHANNELS,
        heads=HEADS,
        kind=kind,
        shifted=False,
        style=STYLE,
        block_style=BlockStyle(groups=4),
    )
    x = torch.randn(2, CHANNELS, 3, 5, 4)
    context = AttentionContext(torch.randn(2, 7, 6), rotary_frequencies(8))
    assert transformer(x, context).shape == x.shape


@pytest.mark.parametrize("kind", ["full", "text"])
def test_untrained_in_time_a_transformer_gives_each_frame_as_alone(kind):
    transformer = VideoTransformer(
        CHANNELS,
        heads=HEADS,
        kind=kind,
        shifted=False,
        style=STYLE,
        block_style=BlockStyle(groups=4),
    )
    x = torch.randn(2, CHANNELS, 3, 5, 4)
    context = AttentionContext(torch.randn(2, 7, 6), rotary_frequencies(8))
    each = [transformer(x[:, :, k : k + 1], context) for k in range(3)]
    _close(transformer(x, context), torch.cat(each, dim=2))
