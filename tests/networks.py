"""Small real networks for images, with random weights, as the files that people have."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from spandrel.architectures.Compact import Compact
from spandrel.architectures.SwinIR import SwinIR
from torch import nn


def compact(*, scale: int = 4, channels: int = 3, convs: int = 2) -> nn.Module:
    """SRVGG (Real-ESRGAN's small network): the nearest enlargement and a little more."""
    torch.manual_seed(0)
    network = Compact(
        num_in_ch=channels, num_out_ch=channels, num_feat=8, num_conv=convs, upscale=scale
    )
    nn.init.normal_(network.body[-1].weight, std=0.02)
    return network


def swinir() -> nn.Module:
    """A transformer that enlarges twice and takes frames in multiples of its windows of 8."""
    torch.manual_seed(0)
    return SwinIR(
        img_size=16,
        window_size=8,
        depths=[2],
        embed_dim=12,
        num_heads=[2],
        mlp_ratio=2.0,
        upscale=2,
        upsampler="pixelshuffledirect",
    )


def saved(network: nn.Module, path: Path) -> Path:
    """The network's weights in a file of the kind that `path` ends in."""
    if path.suffix == ".safetensors":
        save_file({name: value.clone() for name, value in network.state_dict().items()}, path)
    else:
        torch.save({"params_ema": network.state_dict()}, path)
    return path
