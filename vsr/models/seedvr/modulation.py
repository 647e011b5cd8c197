"""Modulation by the timestep: one embedding for all blocks, and each block's own vectors."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Slot = Literal["attn", "mlp"]
_SLOTS: tuple[Slot, ...] = ("attn", "mlp")
_KINDS = ("shift", "scale", "gate")
_WAVES = 128


class TimeEmbedding(nn.Module):
    """Takes a timestep to the values that modulate all blocks."""

    def __init__(self, width: int):
        super().__init__()
        self.proj_in = nn.Linear(2 * _WAVES, width)
        self.proj_hid = nn.Linear(width, width)
        self.proj_out = nn.Linear(width, len(_SLOTS) * len(_KINDS) * width)

    def forward(self, timestep: float) -> Float[Tensor, " w6"]:
        """Returns the values of a timestep from 0 (clean) to 1000 (noise)."""
        weight = self.proj_in.weight
        powers = torch.arange(_WAVES, dtype=torch.float32, device=weight.device) / -_WAVES
        angles = timestep * torch.exp(math.log(10000) * powers)
        waves = torch.cat([angles.sin(), angles.cos()]).to(weight.dtype)
        return self.proj_out(F.silu(self.proj_hid(F.silu(self.proj_in(waves)))))


class Modulation:
    """The embedding of one timestep, read as a shift, a scale and a gate for each slot."""

    def __init__(self, embedding: Float[Tensor, " w6"]):
        self._values = embedding.view(-1, len(_SLOTS), len(_KINDS))

    def value(self, slot: Slot, kind: str) -> Float[Tensor, " w"]:
        """Returns one of the vectors."""
        return self._values[:, _SLOTS.index(slot), _KINDS.index(kind)]


class BlockVectors(nn.Module):
    """The vectors that a block adds to the embedding of the timestep, for each slot and kind."""

    def __init__(self, width: int):
        super().__init__()
        for slot in _SLOTS:
            for kind in _KINDS:
                self.register_parameter(f"{slot}_{kind}", nn.Parameter(torch.zeros(width)))

    def enter(self, x: Tensor, time: Modulation, slot: Slot) -> Tensor:
        """Returns the input of a layer: scaled and shifted; the learnt scale is about 1."""
        return x * self._sum(time, slot, "scale") + self._sum(time, slot, "shift")

    def leave(self, x: Tensor, time: Modulation, slot: Slot) -> Tensor:
        """Returns the output of a layer times its gate."""
        return x * self._sum(time, slot, "gate")

    def _sum(self, time: Modulation, slot: Slot, kind: str) -> Tensor:
        return time.value(slot, kind) + self.get_parameter(f"{slot}_{kind}")


class OutputVectors(nn.Module):
    """Shift and scale before the output layer, on those of the attention slot of the timestep."""

    def __init__(self, width: int):
        super().__init__()
        self.out_shift = nn.Parameter(torch.zeros(width))
        self.out_scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "*n w"], time: Modulation) -> Float[Tensor, "*n w"]:
        """Returns `x` scaled and shifted."""
        scale = time.value("attn", "scale") + self.out_scale
        return x * scale + time.value("attn", "shift") + self.out_shift
