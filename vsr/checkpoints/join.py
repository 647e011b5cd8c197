"""The initial chain of the joining network, from an image network."""

from pathlib import Path

import torch
from torch import nn

from vsr.checkpoints.compact import srvgg_layers
from vsr.errors import ModelError
from vsr.models.join import JoinNetwork


@torch.no_grad()
def join_from_srvgg(network: JoinNetwork, path: Path) -> None:
    """Copy an SRVGG network (any file that spandrel loads) into the chain of `network`.

    A shorter chain takes evenly spaced layers. Raises ModelError unless the widths are equal.
    """
    layers = srvgg_layers(path)
    convs = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    slopes = [layer for layer in layers if isinstance(layer, nn.PReLU)]
    inner, width = len(convs) - 2, network.conv_in.weight.shape[0]
    if convs[0].weight.shape[0] != width or len(network.body) > inner:
        raise ModelError(
            f"{path.name} has {inner} inner layers of {convs[0].weight.shape[0]} channels; the "
            f"network asks for {len(network.body)} of {width}"
        )
    # SRVGG takes [0, 1] and ours [-1, 1]: x01 = x / 2 + 1 / 2, and the residual is doubled
    weight = convs[0].weight / 2
    _copy(network.conv_in, weight, _bias(convs[0]) + weight.sum(dim=(1, 2, 3)))
    network.act_in.weight.copy_(slopes[0].weight)
    for i, layer in enumerate(network.chain):
        source = round(i * (inner - 1) / max(1, len(network.body) - 1))
        _copy(layer.conv, convs[source + 1].weight, _bias(convs[source + 1]))
        layer.act.weight.copy_(slopes[source + 1].weight)
    _copy(network.conv_out, convs[-1].weight * 2, _bias(convs[-1]) * 2)


def _copy(conv: nn.Conv2d, weight: torch.Tensor, bias: torch.Tensor) -> None:
    conv.weight.copy_(weight)
    _bias(conv).copy_(bias)


def _bias(conv: nn.Conv2d) -> torch.Tensor:
    assert conv.bias is not None, "SRVGG's convolutions have a bias"
    return conv.bias
