"""The joining network: the formula at first, tones alone without keys, any size."""

import pytest
import torch
from torch import Tensor

from vsr.models.join import JoinNetwork

SMALL = {"width": 8, "layers": 2, "time_after": (1,), "window_after": 2, "window_width": 32}


def inputs(*, t: int = 2, h: int = 10, w: int = 9, trust: float = 0.8) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator) * 2 - 1

    return {
        "lr": drawn(1, 3, t, h, w),
        "base": drawn(1, 3, t, 4 * h, 4 * w),
        "details": drawn(1, 2, 3, t, 4 * h, 4 * w),
        "confidence": torch.full((1, 2, t, h, w), trust),
        "nearness": torch.tensor([0.75, 0.5]).view(1, 2, 1).expand(1, 2, t),
    }


@pytest.fixture
def network() -> JoinNetwork:
    torch.manual_seed(0)
    return JoinNetwork(**SMALL).eval()


@torch.no_grad()
def test_odd_sizes_become_exactly_four_times_larger(network: JoinNetwork) -> None:
    assert {x.shape for x in network(**inputs())} == {(1, 3, 2, 40, 36)}


@torch.no_grad()
def test_without_keys_the_detail_is_that_of_the_base(network: JoinNetwork) -> None:
    shown = inputs(trust=0.0)
    tones, detail = network(**shown)
    other = network(**shown | {"details": -shown["details"]})
    assert torch.equal(tones, other[0])
    torch.testing.assert_close(detail, torch.zeros_like(detail), atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_trusted_key_gives_its_detail_at_first(network: JoinNetwork) -> None:
    """With an untrained head the fine detail is that of the formula."""
    network.head.weight.zero_()
    pattern = torch.ones(1, 2, 3, 1, 32, 32) * 0.5
    pattern[..., ::2] *= -1
    sure = torch.ones(1, 2, 1, 8, 8)
    near = torch.tensor([[[1.0], [0.5]]])
    grey = torch.zeros(1, 3, 1, 8, 8), torch.zeros(1, 3, 1, 32, 32)
    tones, detail = network(*grey, pattern, sure, near)
    torch.testing.assert_close(detail, pattern[:, 0], atol=1e-3, rtol=0)
    assert not tones.any()


@torch.no_grad()
def test_two_details_are_not_averaged_into_blur(network: JoinNetwork) -> None:
    network.head.weight.zero_()
    generator = torch.Generator().manual_seed(1)
    details = torch.randn(1, 2, 3, 1, 64, 64, generator=generator) * 0.2
    sure, near = torch.ones(1, 2, 1, 16, 16), torch.ones(1, 2, 1)
    grey = torch.zeros(1, 3, 1, 16, 16), torch.zeros(1, 3, 1, 64, 64)
    _, detail = network(*grey, details, sure, near)
    assert float(detail.std() / details.std()) == pytest.approx(1, abs=0.05)


def test_every_parameter_learns(network: JoinNetwork) -> None:
    sum(part.square().mean() for part in network(**inputs())).backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still


@torch.no_grad()
def test_frames_see_their_neighbours_through_layers_along_time(network: JoinNetwork) -> None:
    shown = inputs(t=2)
    changed = shown["lr"].clone()
    changed[:, :, 1] *= -1
    before, after = network(**shown)[0], network(**shown | {"lr": changed})[0]
    assert not torch.allclose(before[:, :, 0], after[:, :, 0], atol=1e-7)
