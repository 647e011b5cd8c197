"""Print the GPU memory and the time of a training, computed from the sizes of its networks.

    python tools/training_memory.py --frames 8 --size 80     (tables of the published U-Net, 691 M)
    python tools/training_memory.py temporal                 (the lines in the header of a config)

The networks are on the meta device, so nothing is computed. Weights, gradients, Adam's two moments
and the average are counted in float32, activations in bfloat16. Autocast keeps norms in float32,
which can double the activations. Hours are those of the transformer or U-Net alone, for the samples
that 8 GPUs draw, at `SPEED`: data, autoencoder, critic and communication come on top.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from vsr.models.seedvr.nadit import NaDiT
from vsr.models.unet import UNetVideoModel
from vsr.training.config import LoraConfig, StageConfig, TrainConfig
from vsr.training.config_file import load_train_config
from vsr.training.engine.adapters import layers_to_adapt
from vsr.training.engine.optim import names_that_train

GB = 1e9
GPUS = (1, 8, 16, 64)
UNIT = 2 * 3e7
"""Bytes of the largest layer that FSDP gathers, in bfloat16: a temporal block of 1024 channels."""
SPEED = 350e12
"""Operations per second of a GPU: 35 % of the 989 T that an H100 has in bfloat16 (assumed)."""
_BASE_GPUS = 8


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


def activations(network: Any, run: Callable[[Any], Any], *, again: bool) -> float:
    """Return the GB that the forward pass of one sample keeps for the backward pass."""
    parameters = {p.untyped_storage()._cdata for p in network.parameters()}
    held, largest = TensorBytes(parameters), [0]

    def remember(layer: nn.Module, *inputs: Any) -> Tensor:
        inner = TensorBytes(parameters)
        with torch.autograd.graph.saved_tensors_hooks(inner.keep, lambda t: t):
            layer(*inputs)
        largest[0] = max(largest[0], inner.bytes)
        held.keep(inputs[0])
        return checkpoint(layer, *inputs, use_reentrant=False)

    if again:
        network.enable_gradient_checkpointing(remember)
    else:
        network.disable_gradient_checkpointing()
    with torch.autograd.graph.saved_tensors_hooks(held.keep, lambda t: t):
        run(network)
    return (held.bytes + largest[0]) / GB


def unet_sample(frames: int, size: int) -> Callable[[Any], Any]:
    """Return the call of a U-Net for one sample."""
    kind: dict[str, Any] = {"device": "meta", "dtype": torch.bfloat16}
    return lambda unet: unet(
        torch.zeros(1, 4, frames, size, size, **kind),
        torch.zeros((), device="meta"),
        low_res=torch.zeros(1, 3, frames, size, size, **kind),
        class_labels=torch.zeros(1, dtype=torch.long, device="meta"),
        encoder_hidden_states=torch.zeros(1, 77, 1024, **kind),
    )


def seedvr_sample(frames: int, size: int) -> Callable[[Any], Any]:
    """Return the call of SeedVR's transformer for one sample; its latents are half as wide."""
    kind: dict[str, Any] = {"device": "meta", "dtype": torch.bfloat16}
    clip = torch.zeros((frames - 1) // 4 + 1, size // 2, size // 2, 16, **kind)
    return lambda dit: dit(clip, clip, torch.zeros(58, 5120, **kind), 1000.0)


def states(total: float, trained: float, *, gpus: int, shard: bool) -> float:
    """Return the GB of weights (with autocast's copy), gradients, moments and average per GPU."""
    if shard:
        return (4 * total + 16 * trained) / gpus / GB + UNIT / GB
    buckets = 4 * trained if gpus > 1 else 0
    return (4 * total + 2 * total + 16 * trained + buckets) / GB


def adapter_size(network: nn.Module, lora: LoraConfig) -> int:
    """Return the number of weights of the adapters that a run would train."""
    layers = layers_to_adapt(network, lora).values()
    return sum(lora.rank * (layer.in_features + layer.out_features) for layer in layers)


def trained_size(network: nn.Module, stage: StageConfig, config: TrainConfig) -> int:
    """Return the number of weights that train in a stage."""
    if config.lora is not None:
        return adapter_size(network, config.lora)
    held = nn.ModuleDict({"transformer" if isinstance(network, NaDiT) else "unet": network})
    names = names_that_train(held, stage)
    return sum(p.numel() for name, p in held.named_parameters() if name in names)


def print_header(name: str) -> None:
    """Print the memory and the hours of a config by number of GPUs, as its header has them."""
    config = load_train_config(name)
    with torch.device("meta"):
        network: Any = NaDiT() if config.recipe == "seedvr" else UNetVideoModel()
    network.to(torch.bfloat16)
    total = sum(p.numel() for p in network.parameters())
    memory, operations = {True: dict.fromkeys(GPUS, 0.0), False: dict.fromkeys(GPUS, 0.0)}, 0.0
    for stage in config.stages:
        sample = seedvr_sample if config.recipe == "seedvr" else unet_sample
        run = sample(stage.frames, stage.crop)
        trained = trained_size(network, stage, config)
        kept = activations(network, run, again=config.gradient_checkpointing)
        for shard, figures in memory.items():
            for gpus in GPUS:
                need = states(total, trained, gpus=gpus, shard=shard) + stage.batch * kept
                figures[gpus] = max(figures[gpus], need)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            run(network)
        forwards = 2 + min(1.0, trained / total) + config.gradient_checkpointing
        if config.recipe == "distill" and stage.weights.latent:
            forwards += 2 * config.distill.teacher_steps
        samples = stage.steps * stage.batch * stage.accumulate * _BASE_GPUS
        operations += samples * forwards * counter.get_total_flops()
    hours = {gpus: operations / SPEED / gpus / 3600 for gpus in GPUS}
    print(f"# Computed, not measured: python tools/training_memory.py {name}")
    print(f"#   {'GPUs':16}" + "".join(f"{gpus:8d}" for gpus in GPUS))
    for label, figures in (("GB each, DDP", memory[False]), ("GB each, FSDP2", memory[True])):
        print(f"#   {label:16}" + "".join(f"{figures[gpus]:8.1f}" for gpus in GPUS))
    print(f"#   {'hours':16}" + "".join(f"{hours[gpus]:8.3g}" for gpus in GPUS))


def print_tables(frames: int, size: int) -> None:
    """Print the memory of the published U-Net by trained layers."""
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
            need = activations(unet, unet_sample(frames, size), again=again)
            print(f"  activations of one sample{', recomputed' if again else ''}: {need:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", nargs="?", help="config whose header is printed")
    parser.add_argument("--frames", type=int, default=8, help="frames per sample (default: 8)")
    parser.add_argument(
        "--size", type=int, default=80, help="width and height of the latents (default: 80)"
    )
    options = parser.parse_args()
    if options.config:
        print_header(options.config)
    else:
        print_tables(options.frames, options.size)


if __name__ == "__main__":
    main()
