"""The memory that SeedVR needs at an output's size, part by part, before its first frame."""

from dataclasses import dataclass, replace
from typing import Any, Self

import psutil
import torch
from torch import nn

from vsr.models.placement import move
from vsr.models.seedvr.causal_conv import StreamState
from vsr.models.seedvr.causal_vae import FRAMES_PER_LATENT, PIXELS_PER_LATENT, CausalVideoVae
from vsr.models.seedvr.nadit import LATENT_CHANNELS, PATCH
from vsr.pipelines.clip_length import SEEDVR_CLIP_FRAMES
from vsr.pipelines.seedvr.canvas import Canvas
from vsr.pipelines.seedvr.networks import STRIP_BYTES, Networks
from vsr.pipelines.seedvr.plan import OVERLAP, latents_of

_TOKEN_MAPS = 16
"""Maps of a token's width that a block holds: 0.3 GiB per megapixel and latent in 3B, as others
measured."""
_STRIP_MAPS = 8
"""Strips of rows that a convolution holds: its input, norm, activation and past, in float32 too."""


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes of each part at its peak."""

    transformer: float
    block: float
    """The largest block of the transformer."""
    vae: float
    carried: float
    """Frames that the convolutions of the autoencoder carry along a shot."""
    whole_maps: float
    """Maps of its widest layers for four frames."""
    row_maps: float
    """The same in strips of rows."""
    tokens: float
    """Maps of the transformer for the tokens of a segment."""

    @classmethod
    def of(cls, networks: Networks, height: int, width: int) -> Self:
        """Returns the need for frames of this size; nothing is computed."""
        h, w = Canvas(height, width).padded
        channels = networks.vae.config["block_out_channels"]
        item = networks.dtype.itemsize
        inner, outer = (FRAMES_PER_LATENT * h * w * item * count for count in channels[1::-1])
        transformer = networks.transformer
        side = PATCH * PIXELS_PER_LATENT
        tokens = (latents_of(SEEDVR_CLIP_FRAMES) + OVERLAP) * h * w / side**2
        return cls(
            transformer=_size(transformer),
            block=max(_size(block) for block in transformer.blocks),
            vae=_size(networks.vae),
            carried=_carried(networks.vae, h, w, networks.dtype),
            whole_maps=3.5 * inner + outer,
            row_maps=inner + 3 * outer + _STRIP_MAPS * min(STRIP_BYTES, inner),
            tokens=_TOKEN_MAPS * transformer.config["width"] * item * tokens,
        )

    def bytes(self, *, waits: bool, by_rows: bool) -> float:
        """Returns the memory of the device; `waits`: what is idle lies elsewhere."""
        maps = self.row_maps if by_rows else self.whole_maps
        if waits:
            return max(self.vae + maps, self.block + self.tokens)
        return self.transformer + self.vae + self.carried + max(maps, self.tokens)

    def in_eight_bits(self) -> Self:
        """Returns the need with the weights of the transformer in 8 bits instead of 16."""
        return replace(self, transformer=self.transformer / 2, block=self.block / 2)


def room(networks: Networks) -> tuple[float, float]:
    """Returns the bytes of the device that a run can have, and all that the device has."""
    device = networks.device
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
    else:
        memory = psutil.virtual_memory()
        free, total = memory.available, memory.total
    return free + (0 if networks.waits else networks.nbytes), total


def _size(network: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in network.parameters())


@torch.no_grad()
def _carried(vae: CausalVideoVae, height: int, width: int, dtype: torch.dtype) -> float:
    """The frames that a stream of this size carries, from tensors without memory."""
    state = StreamState()
    with torch.device("meta"):
        network: Any = CausalVideoVae.from_config(vae.config)
        move(network, torch.device("meta"), dtype)
        frames = torch.empty(1, 3, FRAMES_PER_LATENT + 1, height, width, dtype=dtype)
        side = PIXELS_PER_LATENT
        latents = torch.empty(1, LATENT_CHANNELS, 2, height // side, width // side, dtype=dtype)
    network.encode(frames, state)
    network.decode(latents, state)
    return float(state.nbytes)
