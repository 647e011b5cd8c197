"""The two networks of SeedVR with their fixed text, on their device or waiting on the CPU."""

import logging
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vsr.models.seedvr.causal_conv import StreamState
from vsr.models.seedvr.causal_vae import CausalVideoVae
from vsr.models.seedvr.nadit import NaDiT

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Networks:
    """Transformer and autoencoder; sizes and number formats at their edges are handled here.

    `waits`: each is on `device` only while it computes.
    """

    transformer: NaDiT
    vae: CausalVideoVae
    device: torch.device
    waits: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the networks."""
        return next(self.transformer.parameters()).dtype

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the networks to a device and a number format."""
        self.device = device
        if dtype == torch.float16 and self.transformer.config["rope"] == "window":
            _log.warning(
                "the 7B network of SeedVR is not made for float16 and may give black or broken "
                "frames: use bfloat16 or float32"
            )
        for network in self._all():
            network.to(device="cpu" if self.waits else device, dtype=dtype)

    def wait_on_cpu(self) -> None:
        """Let each network wait in the memory of the CPU while it is idle."""
        self.waits = True
        for network in self._all():
            network.to("cpu")

    def new_stream(self) -> StreamState:
        """Returns the state of a new stream; its frames wait on the CPU if the networks do."""
        return StreamState(parked=torch.device("cpu") if self.waits else None)

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
        """Have a network on the device during the context."""
        if not self.waits:
            yield
            return
        network.to(self.device)
        try:
            yield
        finally:
            network.to("cpu")

    def _all(self) -> tuple[nn.Module, nn.Module]:
        return self.transformer, self.vae

    def _given(self, x: Tensor) -> Tensor:
        return x.to(self.device, self.dtype)
