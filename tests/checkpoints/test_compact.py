"""Training starts from an image network: one step gives that network's own frames."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from spandrel.architectures.Compact import Compact
from spandrel.architectures.ESRGAN import ESRGAN

from vsr.checkpoints import compact as prior
from vsr.checkpoints.compact import compact_unet, compact_vae, init_from_srvgg
from vsr.errors import ModelError
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import enlarged_latents, unpack

CONVS = 10


def _network(*, width: int = 8, convs: int = CONVS - 2, scale: int = 4) -> Compact:
    """An SRVGG network whose random weights keep the strength of what passes."""
    torch.manual_seed(0)
    network = Compact(num_in_ch=3, num_out_ch=3, num_feat=width, num_conv=convs, upscale=scale)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, a=0.25)
            torch.nn.init.normal_(layer.bias, std=0.1)
        elif isinstance(layer, torch.nn.PReLU):
            torch.nn.init.uniform_(layer.weight, 0, 0.5)
    return network.eval()


def _unet() -> UNetVideoModel:
    """A network like the embedded one, with eight convolutions at LR size between its ends."""
    torch.manual_seed(1)
    return UNetVideoModel(
        in_channels=48 + 3,
        out_channels=48,
        block_out_channels=(8, 16),
        layers_per_block=(2, 1),
        num_heads=(1, 2),
        attention=("none", "window"),
        cross_attention_dim=None,
        window=(4, 4, 4),
        residual=(False, True),
        skip="add",
        temporal_attention=False,
        temporal_resnet=False,
        temporal_blocks=(True, True),
        mid_temporal_block=False,
        temporal_block_first=True,
        temporal_block_spatial=False,
        temporal_kernels=(3, 3),
        norm="none",
        attention_norm="none",
        activation="prelu",
    ).eval()


def _saved(network: torch.nn.Module, folder: Path) -> Path:
    path = folder / "network.safetensors"
    save_file(network.state_dict(), path)
    return path


@torch.no_grad()
def _one_step(unet: UNetVideoModel, low_res: torch.Tensor) -> torch.Tensor:
    """Frames in [-1, 1] after one step from the latents of the enlarged frames."""
    base = enlarged_latents(low_res)
    residual = unet(base, torch.tensor(1000), low_res=low_res, class_labels=torch.tensor([0]))
    return unpack(base + residual.sample)


@torch.no_grad()
def test_with_new_branches_at_nothing_one_step_gives_the_frames_of_the_image_network(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(prior, "SMALL", 0.0)
    unet, network = _unet(), _network()
    init_from_srvgg(unet, _saved(network, tmp_path))
    low_res = torch.rand(1, 3, 2, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = _one_step(unet, low_res)
    frames = [2 * network(frame / 2 + 0.5) - 1 for frame in low_res.unbind(2)]
    # Beyond the border lies black for the one and grey for the other; a convolution carries that
    # one LR pixel further in.
    inner = (..., slice(4 * CONVS, -4 * CONVS), slice(4 * CONVS, -4 * CONVS))
    expected = torch.stack(frames, dim=2)[inner]
    assert expected.std() > 0.3
    torch.testing.assert_close(found[inner], expected, atol=1e-4, rtol=0)


def test_new_branches_start_small_but_not_at_nothing(tmp_path):
    unet, network = _unet(), _network()
    init_from_srvgg(unet, _saved(network, tmp_path))
    branches = [unet.up_blocks[0].upsamplers[0].conv, unet.mid_block.attentions[0].proj_out]
    branches += [block.shift_conv for block in unet.down_temp_blocks]
    assert all(0 < branch.weight.abs().max() < 0.2 for branch in branches)


@torch.no_grad()
def test_the_embedded_shape_starts_from_a_network_of_34_convolutions(tmp_path):
    unet, network = compact_unet(), _network(width=64, convs=32)
    init_from_srvgg(unet, _saved(network, tmp_path))
    assert torch.equal(unet.up_blocks[-1].resnets[-1].conv2.weight, network.body[-3].weight)
    frames = _one_step(unet, torch.zeros(1, 3, 1, 12, 12))
    assert frames.shape == (1, 3, 1, 48, 48)
    assert frames.isfinite().all()


@torch.no_grad()
def test_the_embedded_decoder_starts_as_the_identity():
    frames = torch.rand(1, 3, 2, 16, 16) * 2 - 1
    vae = compact_vae()
    assert torch.equal(vae.decode_frames(vae.encode_scaled(frames), frames[..., ::4, ::4]), frames)


@pytest.mark.parametrize(
    ("network", "found"),
    [({"convs": 6}, "8 convolutions of 8"), ({"width": 4}, "10 convolutions of 4")],
)
def test_a_network_of_another_size_is_an_error_that_says_both_sizes(tmp_path, network, found):
    path = _saved(_network(**network), tmp_path)
    with pytest.raises(ModelError, match=f"{found} channels, the U-Net at LR size has 10 of 8"):
        init_from_srvgg(_unet(), path)


def test_a_network_of_another_scale_is_an_error_that_says_it(tmp_path):
    path = _saved(_network(scale=2), tmp_path)
    with pytest.raises(ModelError, match="enlarges 3 channels 2 times"):
        init_from_srvgg(_unet(), path)


def test_a_network_of_another_kind_is_an_error_that_names_it(tmp_path):
    path = _saved(ESRGAN(num_filters=8, num_blocks=1), tmp_path)
    with pytest.raises(ModelError, match="ESRGAN"):
        init_from_srvgg(_unet(), path)


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ModelError, match=r"absent\.pth"):
        init_from_srvgg(_unet(), tmp_path / "absent.pth")


@pytest.mark.parametrize("name", ["text.safetensors", "text.pth", "text.txt"])
def test_a_file_that_is_no_network_is_an_error_that_names_it(tmp_path, name):
    (tmp_path / name).write_text("not a network")
    with pytest.raises(ModelError, match=name):
        init_from_srvgg(_unet(), tmp_path / name)


def test_weights_of_no_known_network_are_an_error_that_names_the_file(tmp_path):
    path = _saved(torch.nn.Linear(2, 2), tmp_path)
    with pytest.raises(ModelError, match=r"network\.safetensors"):
        init_from_srvgg(_unet(), path)
