"""Warping moves maps by exactly the flow, and the round trip tells which flow holds."""

import pytest
import torch

from vsr.ops.flow import Flows, consistent, resize_flow, warp


def _constant(dx: float, dy: float, h: int, w: int) -> torch.Tensor:
    return torch.tensor([float(dx), float(dy)]).view(1, 2, 1, 1).expand(1, 2, h, w).clone()


def _map(h: int, w: int) -> torch.Tensor:
    return torch.randn(1, 2, h, w, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_zero_flow_is_the_identity(mode):
    x = _map(13, 17)
    # interpolating modes see the rounding of normalised coordinates, some 1e-6 of a pixel
    atol = 0 if mode == "nearest" else 1e-5
    torch.testing.assert_close(
        warp(x, torch.zeros(1, 2, 13, 17), mode=mode, padding="border"), x, atol=atol, rtol=0
    )


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_whole_pixels_are_fetched_from_where_the_flow_points(mode):
    x = _map(9, 11)
    moved = warp(x, _constant(2, -1, 9, 11), mode=mode)
    torch.testing.assert_close(moved[..., 1:, :-2], x[..., :-1, 2:], atol=1e-5, rtol=0)


def test_beyond_the_border_lies_zero_or_the_border():
    x = torch.ones(1, 1, 4, 4)
    away = _constant(2, 0, 4, 4)
    assert warp(x, away)[0, 0, 0].tolist() == pytest.approx([1, 1, 0, 0])
    assert warp(x, away, padding="border")[0, 0, 0].tolist() == pytest.approx([1, 1, 1, 1])


def test_half_precision_maps_are_fetched_from_the_right_pixel():
    x = torch.arange(3000).view(1, 1, 1, 3000).float() % 7
    moved = warp(x.bfloat16(), _constant(1, 0, 1, 3000), mode="nearest")
    assert moved.dtype == torch.bfloat16
    assert torch.equal(moved[..., :-1].float(), x[..., 1:])


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1)])
def test_lines_and_points_warp_without_nan(size):
    assert warp(torch.ones(1, 1, *size), torch.zeros(1, 2, *size)).isfinite().all()


def test_opposite_flows_are_consistent_and_equal_ones_are_not():
    flow = _constant(3, 0, 8, 12)
    inner = (..., slice(None), slice(None, 8))
    assert consistent(flow, -flow, alpha1=0.001, alpha2=0.05)[inner].all()
    assert not consistent(flow, flow, alpha1=0.001, alpha2=0.05).any()


def test_flow_that_leaves_the_frame_is_not_believed():
    flow = _constant(3, 0, 8, 12)
    assert not consistent(flow, -flow, alpha1=0.001, alpha2=0.05)[..., 9:].any()


def test_the_bound_itself_is_outside():
    still = torch.zeros(1, 2, 4, 4)
    assert not consistent(still, still, alpha1=0.001, alpha2=0.0).any()
    moving = _constant(0.5, 0, 4, 4)
    assert not consistent(moving, torch.zeros_like(moving), alpha1=0.0, alpha2=0.25).any()
    assert consistent(moving, torch.zeros_like(moving), alpha1=0.0, alpha2=0.26).all()


@pytest.mark.parametrize("size", [(16, 30), (4, 5), (9, 20)])
def test_resized_flow_counts_in_the_pixels_of_its_new_map(size):
    resized = resize_flow(_constant(3, -2, 8, 10), size)
    torch.testing.assert_close(resized, _constant(3 * size[1] / 10, -2 * size[0] / 8, *size))


def test_a_pair_has_both_flows_in_the_pixels_of_the_map_asked_for():
    forward = torch.randn(2, 2, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    there, back = Flows(forward, -forward).pair(1, (12, 16))
    torch.testing.assert_close(there, resize_flow(forward[:, :, 1], (12, 16)))
    torch.testing.assert_close(back, -there)


def test_a_part_of_the_flow_warps_to_that_part() -> None:
    torch.manual_seed(0)
    x, flow = torch.randn(1, 3, 20, 24), 3 * torch.randn(1, 2, 20, 24)
    part = warp(x, flow[..., 5:14, 7:20], mode="bicubic", padding="border", origin=(5, 7))
    torch.testing.assert_close(
        part, warp(x, flow, mode="bicubic", padding="border")[..., 5:14, 7:20]
    )
