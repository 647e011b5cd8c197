"""Layers that are made again in the backward pass give the same gradients and hold less."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.parity import small_unet, small_vae


def _unet() -> tuple[nn.Module, Any]:
    unet = small_unet()
    inputs = {
        "low_res": torch.randn(1, 3, 3, 8, 8),
        "class_labels": torch.tensor([7]),
        "encoder_hidden_states": torch.randn(1, 5, unet.config["cross_attention_dim"]),
    }
    latents = torch.randn(1, 4, 3, 8, 8)
    return unet, lambda: unet(latents, torch.tensor(500), **inputs).sample


def _vae() -> tuple[nn.Module, Any]:
    vae = small_vae("video")
    low_res = torch.randn(1, 3, 2, 8, 8)
    latents = torch.randn(1, 4, 2, 8, 8)
    return vae, lambda: vae.decode(latents, low_res).sample


def _gradients(network: nn.Module, run: Any) -> tuple[dict[str, Tensor], int]:
    """Gradients by name, and the bytes of activations that the forward pass left behind."""
    held = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal held
        held += tensor.nbytes
        return tensor

    network.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = run()
    held_after_forward = held
    output.square().mean().backward()
    gradients = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    return gradients, held_after_forward


@pytest.mark.parametrize("make", [_unet, _vae])
def test_gradients_are_the_same_and_less_is_held(make: Any):
    torch.manual_seed(0)
    network, run = make()
    plain, much = _gradients(network, run)
    network.enable_gradient_checkpointing()
    again, little = _gradients(network, run)
    assert plain.keys() == again.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient)
    assert little < 0.5 * much
