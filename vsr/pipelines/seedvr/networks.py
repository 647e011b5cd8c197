"""The two networks of SeedVR with their fixed text, on their device or waiting on the CPU."""

import logging
import math
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vsr.models.placement import EIGHT_BITS, move, on_device
from vsr.models.seedvr.causal_conv import StreamState
from vsr.models.seedvr.causal_vae import CausalVideoVae
from vsr.models.seedvr.nadit import NaDiT

_log = logging.getLogger(__name__)

_SHARE = 0.6
"""The part of a device's free memory that weights may take; the rest is for maps and streams."""
STRIP_BYTES = 1 << 27
"""Bytes of a strip of rows: about 100 rows of the widest maps of 1280x720."""


@dataclass(slots=True)
class Networks:
    """Transformer and autoencoder; sizes and number formats at their edges are handled here.

    `waits`: each, and each block of the transformer, is on `device` only while it computes.
    """

    transformer: NaDiT
    vae: CausalVideoVae
    device: torch.device
    waits: bool = False
    by_rows: bool = False
    """The autoencoder works in strips of rows."""

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the networks."""
        return self.transformer.txt_in.weight.dtype

    @property
    def nbytes(self) -> int:
        """Memory of the weights."""
        return sum(weight.nbytes for one in self._all() for weight in one.parameters())

    @property
    def is_stored(self) -> bool:
        """True if weights of the transformer lie in 8 bits."""
        return any(weight.dtype in EIGHT_BITS for weight in self.transformer.parameters())

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the networks to a device and a number format."""
        self.device = device
        if dtype == torch.float16 and self.transformer.config["rope"] == "window":
            _log.warning(
                "the 7B network of SeedVR is not made for float16 and may give black or broken "
                "frames: use bfloat16 or float32"
            )
        for network in self._all():
            move(network, torch.device("cpu") if self.waits else device, dtype)

    def place(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the networks as `to` does; if they would fill the device, let them wait."""
        if self.nbytes > _SHARE * _free_bytes(device):
            _log.warning(
                "the networks of %.1f GB would fill %s: idle ones wait in the memory of the CPU, "
                "and blocks go to it one by one",
                *(self.nbytes / 1e9, device),
            )
            self.waits = True
        self.to(device, dtype)

    def wait_on_cpu(self) -> None:
        """Let networks and blocks wait in the memory of the CPU while they are idle."""
        self.waits = True
        for network in self._all():
            network.to("cpu")

    def new_stream(self) -> StreamState:
        """Returns the state of a new stream; its frames wait on the CPU if the networks do."""
        return StreamState(
            parked=torch.device("cpu") if self.waits else None,
            strip_bytes=STRIP_BYTES if self.by_rows else None,
        )

    def encode(
        self,
        frames: Float[Tensor, "1 3 t h w"],
        stream: StreamState,
        noise: Float[Tensor, "1 16 t2 h2 w2"],
    ) -> Float[Tensor, "t2 h2 w2 16"]:
        """Returns the scaled latents of frames: a sample of their distribution, as published."""
        distribution = self.vae.encode(self._given(frames), stream)
        latents = self.vae.scaling_factor * distribution.sample(noise.to(self.device)).float()
        return rearrange(latents, "1 c t h w -> t h w c")

    def decode(
        self, latents: Float[Tensor, "t h w 16"], stream: StreamState
    ) -> Iterator[Float[Tensor, "1 3 _ h2 w2"]]:
        """Yields the frames of scaled latents, a few at a time."""
        scaled = rearrange(latents / self.vae.scaling_factor, "t h w c -> 1 c t h w")
        yield from self.vae.decode_slices(self._given(scaled), stream)

    def velocity(
        self,
        latents: Float[Tensor, "t h w 16"],
        condition: Float[Tensor, "t h w 16"],
        text: Float[Tensor, "words c"],
        timestep: float,
    ) -> Float[Tensor, "t h w 16"]:
        """Returns the transformer's velocity in float32."""
        given = (self._given(x) for x in (latents, condition, text))
        return self.transformer(*given, timestep).float()

    @contextmanager
    def awake(self, network: nn.Module) -> Generator[None]:
        """Have a network on the device during the context; the transformer block by block."""
        if not self.waits:
            yield
            return
        if network is not self.transformer:
            with on_device(network, self.device):
                yield
            return
        self.transformer.block_device = self.device
        with ExitStack() as stack:
            for name, part in self.transformer.named_children():
                if name != "blocks":
                    stack.enter_context(on_device(part, self.device))
            yield

    def _all(self) -> tuple[nn.Module, nn.Module]:
        return self.transformer, self.vae

    def _given(self, x: Tensor) -> Tensor:
        return x.to(self.device, self.dtype)


def _free_bytes(device: torch.device) -> float:
    """Free memory of an accelerator; of a CPU, which is not asked, without end."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else math.inf
