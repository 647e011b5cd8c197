"""The joining network: the formula at first, the base without keys, any size."""

import pytest
import torch
from torch import Tensor

from vsr.models.join import JoinNetwork

SMALL = {"width": 8, "layers": 4, "time_after": (2,), "window_after": 3, "window_width": 32}


def inputs(*, t: int = 2, h: int = 10, w: int = 9, trust: float = 0.8) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "lr": torch.rand(1, 3, t, h, w, generator=generator) * 2 - 1,
        "keys": torch.rand(1, 2, 3, t, 4 * h, 4 * w, generator=generator) * 2 - 1,
        "confidence": torch.full((1, 2, t, h, w), trust),
        "nearness": torch.tensor([0.75, 0.5]).view(1, 2, 1).expand(1, 2, t),
        "noise_level": torch.tensor([0.3]),
    }


@pytest.fixture
def network() -> JoinNetwork:
    torch.manual_seed(0)
    return JoinNetwork(**SMALL).eval()


@torch.no_grad()
def test_odd_sizes_become_exactly_four_times_larger(network: JoinNetwork) -> None:
    assert network(**inputs()).shape == (1, 3, 2, 40, 36)


@torch.no_grad()
def test_keys_of_no_confidence_change_nothing(network: JoinNetwork) -> None:
    shown = inputs(trust=0.0)
    other = shown | {"keys": -shown["keys"]}
    assert torch.equal(network(**shown), network(**other))


@torch.no_grad()
def test_a_trusted_key_gives_its_detail_at_first(network: JoinNetwork) -> None:
    """With an untrained head the fine detail is that of the formula."""
    for layer in (network.head, network.conv_out):
        layer.weight.zero_()
        layer.bias.zero_()  # pyright: ignore[reportOptionalMemberAccess]
    flat = {"lr": torch.zeros(1, 3, 1, 8, 8), "confidence": torch.ones(1, 2, 1, 8, 8)}
    pattern = torch.ones(1, 2, 3, 1, 32, 32) * 0.5
    pattern[..., ::2] *= -1  # a mean of 0 in each block of 4x4: nothing but fine detail
    near = torch.tensor([[[1.0], [0.5]]])
    out = network(flat["lr"], pattern, flat["confidence"], near, torch.zeros(1))
    torch.testing.assert_close(out, pattern[:, 0], atol=1e-3, rtol=0)


def test_every_parameter_learns(network: JoinNetwork) -> None:
    network(**inputs()).square().mean().backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still


@torch.no_grad()
def test_frames_see_their_neighbours(network: JoinNetwork) -> None:
    shown = inputs(t=2)
    changed = shown["lr"].clone()
    changed[:, :, 1] *= -1
    before, after = network(**shown), network(**shown | {"lr": changed})
    assert not torch.allclose(before[:, :, 0], after[:, :, 0], atol=1e-7)
