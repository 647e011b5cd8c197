"""Blocks compute their formulas, frame by frame where they should, and start as nothing."""

import pytest
import torch
import torch.nn.functional as F
from diffusers.models.resnet import ResnetBlock2D

from vsr.models import blocks
from vsr.models.blocks import (
    BlockStyle,
    FrameConv2d,
    FrameGroupNorm,
    ResnetBlock,
    TemporalBlock,
    TemporalResnetBlock,
    TimeConv3d,
    fold_time,
    unfold_time,
)

STYLE = BlockStyle(norm="clip", groups=4)
FRAMES = BlockStyle(norm="frame", groups=4)


def _map(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_unfolding_time_is_the_inverse_of_folding_it():
    x = _map(2, 3, 4, 5, 6)
    assert torch.equal(unfold_time(fold_time(x), 4), x)


def test_folding_the_time_of_a_map_with_channels_innermost_copies_nothing():
    x = _map(2, 3, 4, 5, 6).contiguous(memory_format=torch.channels_last_3d)
    assert fold_time(x).data_ptr() == x.data_ptr()


def test_a_frame_convolution_is_the_2d_one_of_each_frame():
    conv = FrameConv2d(3, 5, 3, padding=1)
    x = _map(2, 3, 4, 6, 7)
    each = [F.conv2d(frame, conv.weight, conv.bias, padding=1) for frame in x.unbind(2)]
    torch.testing.assert_close(conv(x), torch.stack(each, dim=2))


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("frames", [1, 2, 9])
def test_a_convolution_along_time_is_the_3d_one_with_channels_innermost(kernel, frames):
    conv = TimeConv3d(4, kernel)
    x = _map(2, 4, frames, 6, 7).contiguous(memory_format=torch.channels_last_3d)
    expected = F.conv3d(x, conv.weight, conv.bias, padding=(kernel // 2, 0, 0))
    torch.testing.assert_close(conv(x), expected)
    assert conv(x).is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize(("norm", "axes"), [("clip", (2, 3, 4, 5)), ("frame", (2, 4, 5))])
def test_norms_pool_over_what_their_style_says(norm, axes):
    x = 3 * _map(2, 8, 3, 5, 4) + 2 * _map(1, 1, 3, 1, 1)
    groups = x.view(2, 4, 2, 3, 5, 4)
    mean = groups.mean(axes, keepdim=True)
    variance = groups.var(axes, keepdim=True, correction=0)
    expected = ((groups - mean) / torch.sqrt(variance + 1e-5)).view_as(x)
    found = BlockStyle(norm=norm, groups=4).make_norm(8)(x)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_without_norms_a_map_stays_what_it_is():
    x = _map(1, 8, 2, 3, 3)
    assert BlockStyle(norm="none").make_norm(8)(x) is x


def test_maps_of_few_channels_get_a_group_for_each():
    assert BlockStyle(groups=32).make_norm(3).num_groups == 3


def test_another_epsilon_leaves_the_rest_of_a_style():
    assert FRAMES.with_eps(1e-6) == BlockStyle(norm="frame", groups=4, eps=1e-6)


@pytest.mark.parametrize("out_channels", [8, 12])
def test_a_resnet_block_is_that_of_diffusers_on_each_frame(out_channels):
    theirs = ResnetBlock2D(
        in_channels=8, out_channels=out_channels, temb_channels=6, groups=4, eps=1e-5
    )
    ours = ResnetBlock(8, out_channels, style=FRAMES, time_channels=6)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x, time = _map(2, 8, 3, 5, 4), _map(2, 6)
    each = [theirs(frame, time) for frame in x.unbind(2)]
    torch.testing.assert_close(ours(x, time), torch.stack(each, dim=2), atol=1e-5, rtol=0)


def test_a_block_that_is_not_residual_is_a_chain_of_two_layers():
    block = ResnetBlock(
        8, 8, style=BlockStyle(norm="none", activation="prelu"), residual=False, time_channels=None
    )
    x = _map(1, 8, 1, 5, 4)
    y = x[:, :, 0]
    for act, conv in ((block.act1, block.conv1), (block.act2, block.conv2)):
        y = F.conv2d(F.prelu(y, act.weight), conv.weight, conv.bias, padding=1)
    torch.testing.assert_close(block(x)[:, :, 0], y)


@pytest.mark.parametrize("block", [ResnetBlock, TemporalResnetBlock])
def test_a_single_entry_is_shifted_by_its_time_as_entries_of_a_batch_are(block):
    if block is ResnetBlock:
        layer = ResnetBlock(8, 8, style=STYLE, time_channels=6)
    else:
        layer = TemporalResnetBlock(8, style=STYLE, kernels=(3, 3), time_channels=6)
    x, time = _map(2, 8, 3, 5, 4), _map(2, 6)
    each = [layer(x[i : i + 1], time[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(layer(x, time), torch.cat(each), atol=1e-5, rtol=0)


def test_the_temporal_branch_of_a_resnet_starts_as_nothing():
    block = ResnetBlock(8, 8, style=STYLE, temporal_kernel=(3, 3, 3))
    plain = ResnetBlock(8, 8, style=STYLE)
    plain.load_state_dict(block.state_dict(), strict=False)
    x = _map(1, 8, 3, 5, 4)
    assert torch.equal(block(x), plain(x))


def test_the_temporal_branch_of_a_resnet_adds_a_3d_convolution_of_its_normed_result():
    block = ResnetBlock(8, 8, style=STYLE, temporal_kernel=(3, 1, 1))
    torch.nn.init.normal_(block.conv_3d.weight)
    plain = ResnetBlock(8, 8, style=STYLE)
    plain.load_state_dict(block.state_dict(), strict=False)
    x = _map(1, 8, 3, 5, 4)
    y = plain(x)
    branch = F.conv3d(F.silu(F.group_norm(y, 4)), block.conv_3d.weight, padding=(1, 0, 0))
    torch.testing.assert_close(block(x), y + branch, atol=1e-4, rtol=0)


def test_a_temporal_resnet_convolves_each_place_along_time():
    block = TemporalResnetBlock(4, style=BlockStyle(norm="none"), kernels=(5, 3))
    x = _map(1, 4, 6, 2, 3)
    y = x[:, :, :, 1, 2]
    for conv, padding in ((block.conv1, 2), (block.conv2, 1)):
        y = F.conv1d(F.silu(y), conv.weight[..., 0, 0], conv.bias, padding=padding)
    torch.testing.assert_close(block(x)[..., 1, 2], x[..., 1, 2] + y, atol=1e-5, rtol=0)


@pytest.mark.parametrize("spatial", [True, False])
def test_a_temporal_block_starts_as_nothing(spatial):
    block = TemporalBlock(8, style=STYLE, kernels=(5, 3), time_channels=6, spatial=spatial)
    x = _map(1, 8, 3, 5, 4)
    assert torch.equal(block(x, _map(1, 6)), x)


def test_a_temporal_block_adds_its_branch_through_its_last_convolution():
    block = TemporalBlock(8, style=STYLE, kernels=(5, 3), time_channels=6, spatial=True)
    torch.nn.init.normal_(block.shift_conv.weight)
    x, time = _map(1, 8, 3, 5, 4), _map(1, 6)
    y = block.resblocks_3d_spatial(block.resblocks_3d_temporal(x, time), time)
    torch.testing.assert_close(block(x, time), x + block.shift_conv(y))


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_time_is_convolved_in_strips_of_rows_to_the_same_values(rows, monkeypatch):
    conv = TimeConv3d(4, 3)
    x = _map(1, 4, 5, 7, 6).contiguous(memory_format=torch.channels_last_3d)
    expected = conv(x)
    monkeypatch.setattr(blocks, "_CACHED_VALUES", rows * x.numel() // 7)
    monkeypatch.setattr(blocks, "_CACHES", 0)
    with torch.no_grad():
        torch.testing.assert_close(conv(x), expected)


def test_a_block_made_for_a_time_embedding_insists_on_one():
    with pytest.raises(AssertionError, match="time embedding"):
        ResnetBlock(8, 8, style=STYLE, time_channels=6)(_map(1, 8, 1, 2, 2))


def test_a_frame_norm_has_the_weights_of_a_group_norm():
    norm = FrameGroupNorm(4, 8)
    torch.nn.init.normal_(norm.weight)
    x = _map(1, 8, 1, 3, 3)
    expected = F.group_norm(x[:, :, 0], 4, norm.weight, norm.bias)
    torch.testing.assert_close(norm(x)[:, :, 0], expected)
