"""Print the GPU memory for training the published U-Net (691 M parameters), in GB per GPU.

    python tools/training_memory.py --frames 8 --size 80

The networks are on the meta device, so nothing is computed. Weights, gradients, Adam's two moments
and the average are counted in float32, activations in bfloat16. Autocast keeps norms in float32,
which can double the activations.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vsr.models.unet import UNetVideoModel

GB = 1e9
GPUS = (1, 8, 16, 64)
UNIT = 2 * 3e7
"""Bytes of the largest layer that FSDP gathers, in bfloat16: a temporal block of 1024 channels."""


class TensorBytes:
    """Counts the bytes of tensors; views of the same tensor count once."""

    def __init__(self, parameters: set[int]) -> None:
        self._seen: dict[int, Tensor] = {}
        self._parameters = parameters
        self.bytes = 0

    def keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._seen and storage._cdata not in self._parameters:
            self._seen[storage._cdata] = tensor
            self.bytes += storage.nbytes()
        return tensor


def activations(unet: UNetVideoModel, frames: int, size: int, *, again: bool) -> float:
    """Return the GB that the forward pass of one sample keeps for the backward pass."""
    parameters = {p.untyped_storage()._cdata for p in unet.parameters()}
    held, largest = TensorBytes(parameters), [0]

    def remember(layer: nn.Module, *inputs: Any) -> Tensor:
        inner = TensorBytes(parameters)
        with torch.autograd.graph.saved_tensors_hooks(inner.keep, lambda t: t):
            layer(*inputs)
        largest[0] = max(largest[0], inner.bytes)
        held.keep(inputs[0])
        return checkpoint(layer, *inputs, use_reentrant=False)

    if again:
        unet.enable_gradient_checkpointing(remember)
    else:
        unet.disable_gradient_checkpointing()
    kind: dict[str, Any] = {"device": "meta", "dtype": torch.bfloat16}
    latents = torch.zeros(1, 4, frames, size, size, **kind)
    with torch.autograd.graph.saved_tensors_hooks(held.keep, lambda t: t):
        unet(
            latents,
            torch.zeros((), device="meta"),
            low_res=torch.zeros(1, 3, frames, size, size, **kind),
            class_labels=torch.zeros(1, dtype=torch.long, device="meta"),
            encoder_hidden_states=torch.zeros(1, 77, 1024, **kind),
        )
    return (held.bytes + largest[0]) / GB


def states(total: float, trained: float, *, gpus: int, shard: bool) -> float:
    """Return the GB of weights (with autocast's copy), gradients, moments and average per GPU."""
    if shard:
        return (4 * total + 16 * trained) / gpus / GB + UNIT / GB
    buckets = 4 * trained if gpus > 1 else 0
    return (4 * total + 2 * total + 16 * trained + buckets) / GB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=8, help="frames per sample (default: 8)")
    parser.add_argument(
        "--size", type=int, default=80, help="width and height of the latents (default: 80)"
    )
    options = parser.parse_args()
    with torch.device("meta"):
        unet = UNetVideoModel().to(torch.bfloat16)
    total = sum(p.numel() for p in unet.parameters())
    chosen: dict[str, Callable[[str], bool]] = {
        "temporal layers": lambda name: "temp" in name,
        "all layers": lambda name: True,
    }
    for what, trains in chosen.items():
        for name, parameter in unet.named_parameters():
            parameter.requires_grad_(trains(name))
        trained = sum(p.numel() for p in unet.parameters() if p.requires_grad)
        print(f"{what}: {trained / 1e6:.1f} M of {total / 1e6:.1f} M train")
        for gpus in GPUS:
            ddp, fsdp = (states(total, trained, gpus=gpus, shard=s) for s in (False, True))
            print(f"  {gpus:3d} GPUs  DDP {ddp:6.2f}  FSDP {fsdp:6.2f}")
        for again in (False, True):
            need = activations(unet, options.frames, options.size, again=again)
            print(f"  activations of one sample{', recomputed' if again else ''}: {need:.2f}")


if __name__ == "__main__":
    main()
