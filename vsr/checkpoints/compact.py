"""The embedded model's shape, and its initial spatial layers from an image network."""

import logging
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from vsr.errors import ModelError
from vsr.models.blocks import ResnetBlock, TemporalBlock, zero_parameters
from vsr.models.image import ImageNetwork
from vsr.models.resampling import Upsample
from vsr.models.transformer import VideoTransformer
from vsr.models.unet import UNetVideoModel
from vsr.models.unet_levels import Level
from vsr.models.vae import AutoencoderKLVideo

logger = logging.getLogger(__name__)

# Factor on the initial outputs of new branches: small beside the copied network's, but not zero,
# since layers behind a zero hardly learn at first.
SMALL = 0.05


def compact_unet() -> UNetVideoModel:
    """Returns a new U-Net of the embedded model's shape, 6.5 M parameters.

    64 channels at LR size in a chain of 32 convolutions, 3-D windows at a quarter of it.
    """
    return UNetVideoModel(
        in_channels=48 + 3,
        out_channels=48,
        block_out_channels=(64, 128, 192),
        layers_per_block=(8, 1, 1),
        num_heads=(2, 4, 6),
        attention=("none", "none", "window"),
        cross_attention_dim=None,
        window=(8, 8, 8),
        ff_mult=2,
        residual=(False, True, True),
        skip="add",
        temporal_attention=False,
        temporal_resnet=False,
        temporal_blocks=(True, False, False),
        mid_temporal_block=False,
        temporal_block_first=True,
        temporal_block_spatial=False,
        temporal_kernels=(3, 3),
        norm="none",
        attention_norm="none",
        activation="prelu",
        time_embedding_channels=128,
        max_noise_level=100,
        num_class_embeds=101,
    )


def compact_vae() -> AutoencoderKLVideo:
    """Returns a new autoencoder of the embedded model's shape: packed latents, residual decoder."""
    return AutoencoderKLVideo(
        latent_channels=48,
        latents="unshuffle",
        block_out_channels=(32,),
        layers_per_block=0,
        norm="none",
        activation="prelu",
        mid_attention=False,
        temporal_kernel=(3, 1, 1),
        condition_channels=16,
        scaling_factor=1.0,
        decode_frames=16,
        decode_context=5,
    )


@torch.no_grad()
def init_from_srvgg(unet: UNetVideoModel, path: Path) -> None:
    """Copy an SRVGG network (any file that spandrel loads) into the LR-size level of `unet`.

    One step from the enlarged LR latents then nearly gives that network's frames: new branches
    start `SMALL`. Raises ModelError unless the level's chain of convolutions has the width and the
    depth of the network.
    """
    layers = srvgg_layers(path)
    convs = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    slopes = [layer for layer in layers if isinstance(layer, nn.PReLU)]
    levels = cast("tuple[Level, Level]", (unet.down_blocks[0], unet.up_blocks[-1]))
    blocks = [cast(ResnetBlock, block) for level in levels for block in level.resnets]
    width = unet.conv_in.weight.shape[0]
    if len(convs) != 2 * len(blocks) + 2 or convs[0].weight.shape[0] != width:
        raise ModelError(
            f"{path.name} has {len(convs)} convolutions of {convs[0].weight.shape[0]} channels, "
            f"the U-Net at LR size has {2 * len(blocks) + 2} of {width}"
        )
    _shrink_new_branches(unet)

    # The image network takes [0, 1] and adds its output to the nearest-neighbour upsampled frame;
    # ours takes [-1, 1], and its latents are in [-1, 1] too: x01 = x / 2 + 1 / 2, residual doubled.
    weight = convs[0].weight / 2
    unet.conv_in.weight.zero_()
    unet.conv_in.weight[:, -3:].copy_(weight)
    _bias(unet.conv_in).copy_(_bias(convs[0]) + weight.sum(dim=(1, 2, 3)))
    for i, block in enumerate(blocks):
        for conv, act, source in (
            (block.conv1, block.act1, 2 * i),
            (block.conv2, block.act2, 2 * i + 1),
        ):
            conv.weight.copy_(convs[source + 1].weight)
            _bias(conv).copy_(_bias(convs[source + 1]))
            cast(nn.PReLU, act).weight.copy_(slopes[source].weight)
        if block.time_emb_proj is not None:
            zero_parameters(block.time_emb_proj)
    cast(nn.PReLU, unet.conv_act_out).weight.copy_(slopes[-1].weight)
    unet.conv_out.weight.copy_(2 * convs[-1].weight)
    _bias(unet.conv_out).copy_(2 * _bias(convs[-1]))
    logger.info("spatial layers start from %s", path.name)


def srvgg_layers(path: Path) -> list[nn.Module]:
    """Returns the layers of an SRVGG network that enlarges RGB 4 times; else raises ModelError."""
    network = ImageNetwork.load(path).descriptor
    body = getattr(network.model, "body", None)
    if network.architecture.id != "Compact" or not isinstance(body, nn.ModuleList):
        raise ModelError(
            f"{path.name} is a {network.architecture.name} network; the spatial layers can start "
            "from a RealESRGAN Compact (SRVGG) network only"
        )
    if (network.scale, network.input_channels, network.output_channels) != (4, 3, 3):
        raise ModelError(
            f"{path.name} enlarges {network.input_channels} channels {network.scale} times; the "
            "spatial layers can start from a network that enlarges 3 channels 4 times only"
        )
    return list(body)


def _shrink_new_branches(unet: UNetVideoModel) -> None:
    for module in unet.modules():
        if isinstance(module, TemporalBlock):
            nn.init.normal_(
                module.shift_conv.weight, std=SMALL / module.shift_conv.in_channels**0.5
            )
            _scale(module.resblocks_3d_temporal.conv2, SMALL)
        elif isinstance(module, VideoTransformer):
            _scale(module.proj_out, SMALL)
        elif isinstance(module, Upsample):
            _scale(module.conv, SMALL)


def _scale(layer: nn.Conv2d | nn.Conv3d | nn.Linear, factor: float) -> None:
    for parameter in layer.parameters():
        parameter.mul_(factor)


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None, "SRVGG convolutions have biases"
    return conv.bias
