"""The feed-forward layer is that of diffusers, however it is computed."""

import torch
from diffusers.models import attention
from torch import nn

from vsr.models.feed_forward import FeedForward


def _pair() -> tuple[FeedForward, attention.FeedForward]:
    torch.manual_seed(0)
    own = FeedForward(16, 2)
    other = attention.FeedForward(16, mult=2, activation_fn="geglu")
    other.load_state_dict(own.state_dict())
    return own, other


def test_it_is_the_layer_of_diffusers_in_float32():
    own, other = _pair()
    x = torch.randn(1, 2, 3, 4, 16)
    assert torch.equal(own(x), other(x))


@torch.no_grad()
def test_convolutions_in_bfloat16_give_it_within_rounding():
    own, other = _pair()
    x = torch.randn(2, 3, 4, 5, 16).bfloat16()
    expected = other(x.float())
    torch.testing.assert_close(own.bfloat16()(x).float(), expected, atol=0.01, rtol=0.02)


@torch.no_grad()
def test_an_adapter_around_a_layer_is_asked_for_its_own_result():
    class Doubled(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(input)

    own, other = (layer.bfloat16() for layer in _pair())
    x = torch.randn(1, 2, 3, 4, 16).bfloat16()
    for layer in (own, other):
        last = layer.net[2]
        layer.net[2] = Doubled(32, 16).bfloat16()
        layer.net[2].load_state_dict(last.state_dict())
    assert torch.equal(own(x), other(x))
