import pytest
import torch
from torch import nn

from vsr.training.engine.fast_prelu import FastPReLU, use_fast_prelu


@pytest.mark.parametrize(
    ("slopes", "shape"), [(6, (2, 6, 3, 5, 4)), (1, (2, 6, 5, 4)), (6, (9, 6))]
)
def test_quick_prelu_equals_the_plain_one_with_its_gradients(slopes: int, shape: tuple[int, ...]):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator)
    x.view(-1)[0] = 0
    seed = torch.randn(shape, generator=generator)
    found = []
    for kind in (nn.PReLU, FastPReLU):
        layer, leaf = kind(slopes), x.clone().requires_grad_()
        y = layer(leaf)
        found.append((y, *torch.autograd.grad(y, (leaf, layer.weight), seed)))
    for plain, quick in zip(*found, strict=True):
        torch.testing.assert_close(quick, plain)


def test_quickening_keeps_parameters_and_channels_innermost():
    network = nn.Sequential(nn.Conv3d(3, 4, 1), nn.PReLU(4))
    names = list(network.state_dict())
    use_fast_prelu(network)
    assert list(network.state_dict()) == names and isinstance(network[1], FastPReLU)
    x = torch.randn(1, 3, 2, 5, 5).contiguous(memory_format=torch.channels_last_3d)
    with torch.autocast("cpu", torch.bfloat16):
        y = network(x.requires_grad_())
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert x.grad is not None and x.grad.is_contiguous(memory_format=torch.channels_last_3d)
