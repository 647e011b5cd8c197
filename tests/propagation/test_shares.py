"""Gated shares: neighbours that look alike are trusted, the more the more frames agree."""

import math
from dataclasses import replace

import pytest
import torch

from vsr.ops.flow import Flows
from vsr.propagation.fusion import PropagationConfig
from vsr.propagation.propagator import Propagator
from vsr.propagation.shares import GatedShares, trust

GATED = PropagationConfig(
    beta=0.5, alpha1=0.01, alpha2=0.5, mode="bilinear", padding="border", gate=12
)
SIZE = (16, 20)


def _still(pairs: int) -> Flows:
    return Flows(torch.zeros(1, 2, pairs, *SIZE), torch.zeros(1, 2, pairs, *SIZE))


def _picture(seed: int = 0) -> torch.Tensor:
    rough = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(seed)) - 0.5
    return torch.nn.functional.interpolate(rough, SIZE, mode="bicubic")


def _film(*pictures: torch.Tensor) -> torch.Tensor:
    return torch.stack(pictures, dim=2)


def _trust(own: torch.Tensor, neighbour: torch.Tensor) -> torch.Tensor:
    still = torch.zeros(1, 2, *SIZE)
    return trust(own, neighbour, there=still, back=still, config=GATED, scale=4)


def test_equal_frames_are_trusted_whole() -> None:
    torch.testing.assert_close(_trust(_picture(), _picture()), torch.ones(1, 1, *SIZE))


@pytest.mark.parametrize("levels", [3.0, 12.0, 40.0])
def test_a_difference_of_brightness_costs_trust_by_the_formula(levels: float) -> None:
    found = _trust(_picture(), _picture() + levels * 2 / 255)
    expected = torch.full_like(found, math.exp(-levels / 12))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_a_flow_that_does_not_come_back_is_not_trusted() -> None:
    there = torch.full((1, 2, *SIZE), 1.0)
    found = trust(_picture(), _picture(), there=there, back=there, config=GATED, scale=4)
    assert found.max() == 0


def test_bounds_of_the_round_trip_are_in_pixels_of_the_large_maps() -> None:
    still = torch.zeros(1, 2, *SIZE)
    off = torch.full((1, 2, *SIZE), 0.3)  # 0.18 square pixels, or 2.88 on maps four times larger
    near, far = (
        trust(_picture(), _picture(), there=still, back=off, config=GATED, scale=scale).max()
        for scale in (1.0, 4.0)
    )
    assert (near, far) == (pytest.approx(1), 0)


def test_a_place_that_changes_its_look_keeps_its_own_pixels() -> None:
    before, after = _picture(), _picture()
    after[..., 4:12, 4:12] += 0.6
    large = torch.nn.functional.interpolate(torch.cat([before, after]), scale_factor=4)
    config = replace(GATED, direction="forward")
    propagator = Propagator(config, _film(before, after), flow=_still(1), scale=4)
    _, fused = propagator.fuse(large.split(1))
    changed = (..., slice(24, 40), slice(24, 40))
    torch.testing.assert_close(fused[changed], large[1:][changed], atol=0.01, rtol=0)


def test_without_count_equal_frames_have_the_share_beta() -> None:
    config = replace(GATED, direction="forward")
    shares = GatedShares(_film(*[_picture()] * 4), _still(3), config, scale=4)
    for i in (1, 2, 3):
        share = shares.link(i, i - 1, SIZE).share
        torch.testing.assert_close(share, torch.full_like(share, 0.5))


def test_frames_that_agree_count_more() -> None:
    config = replace(GATED, count=4.0, direction="forward")
    shares = GatedShares(_film(*[_picture()] * 6), _still(5), config, scale=4)
    found = [shares.link(i, i - 1, SIZE).share.mean().item() for i in range(1, 6)]
    # weights of the neighbours: 1, 2, 3, 4, 4, against 1
    assert found == pytest.approx([1 / 2, 2 / 3, 3 / 4, 4 / 5, 4 / 5])


def test_no_number_of_frames_outvotes_a_low_trust() -> None:
    before, last = _picture(), _picture() + 12 * 2 / 255
    config = replace(GATED, count=4.0, direction="forward")
    shares = GatedShares(_film(*[before] * 5, last), _still(5), config, scale=4)
    found = shares.link(5, 4, SIZE).share  # four frames against one, and a trust of 1 / e
    torch.testing.assert_close(found, torch.full_like(found, 4 / 5 / math.e), atol=1e-3, rtol=0)


def test_counting_averages_more_noise_away() -> None:
    small = _film(*[_picture()] * 16)
    generator = torch.Generator().manual_seed(0)
    noise = list(torch.randn(16, 3, *SIZE, generator=generator).split(1))

    def left(count: float) -> float:
        propagator = Propagator(replace(GATED, count=count), small, flow=_still(15))
        return torch.cat(list(propagator.fuse(noise)))[4:12].var().item()

    assert left(4.0) < 0.8 * left(1.0)


def test_two_forward_clips_that_hand_on_their_state_are_one() -> None:
    config = replace(GATED, count=4.0, direction="forward")
    pictures = [_picture(seed) / 20 + _picture() for seed in range(7)]
    small = _film(*pictures)
    whole = Propagator(config, small, flow=_still(6))
    expected = list(whole.fuse(pictures))
    first = Propagator(config, small[:, :, :3], flow=_still(2))
    found = list(first.fuse(pictures[:3]))
    second = Propagator(config, small[:, :, 3:], flow=_still(4), state=first.state())
    found += list(second.fuse(pictures[3:]))
    torch.testing.assert_close(torch.cat(found), torch.cat(expected))
    assert torch.equal(second.state().weight, whole.state().weight)


def test_a_neighbour_without_trust_has_no_share_even_if_it_would_have_all() -> None:
    flows = Flows(torch.zeros(1, 2, 1, *SIZE), torch.ones(1, 2, 1, *SIZE))
    shares = GatedShares(_film(_picture(), _picture()), flows, replace(GATED, beta=1.0), scale=4)
    assert shares.link(1, 0, SIZE).share.max() == 0
