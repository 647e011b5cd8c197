"""ShotState: what a clip of a shot hands to the next one, in memory and as bytes.

The frames that the convolutions of the autoencoder carry take gigabytes. They stay in memory; the
bytes hold the source frames and latents from which they are made again, to the same numbers: a
convolution that looks back sees nothing before its reach.
"""

import struct
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from safetensors.torch import load, save
from torch import Tensor

from vsr.models.seedvr.causal_conv import StreamState
from vsr.models.seedvr.causal_vae import FRAMES_PER_LATENT
from vsr.propagation.propagator import PropagationState

_HEAD = "<QQQQQ"


@dataclass(slots=True)
class Streams:
    """The frames that encoder and decoder carry along a shot."""

    encoder: StreamState
    decoder: StreamState


@dataclass(slots=True)
class ShotState:
    """A shot after some of its frames; a cut drops it.

    Latents are numbered from the start of the shot: 0 is its first frame, k ends with frame 4 k.
    """

    frames: int
    """Frames of the shot that are finished."""
    decoded: int
    """Latents of the shot that are final and decoded."""
    encoded: int
    """Latents of the shot whose condition is known."""
    source: Tensor
    """The last source frames `t h w 3` as they were given, up to the last one encoded."""
    clean: Float[Tensor, "_ h w 16"]
    """The last final latents, up to `decoded`."""
    conditions: Float[Tensor, "_ h w 16"]
    """The last conditions, up to `encoded`."""
    predicted: Float[Tensor, "_ h w 16"]
    """Clean latents from `decoded` on that the last segment predicted, to be faded out."""
    waiting: Float[Tensor, "1 3 _ h2 w2"]
    """Decoded frames that belong to the next clip."""
    streams: Streams | None = None
    """None: to be made again, from `source` and `clean`."""
    pixels: PropagationState | None = None
    """State of the propagation on decoded frames, where there is one."""

    def take_streams(self) -> Streams | None:
        """Returns the streams, once: a clip that is made again makes them again."""
        streams, self.streams = self.streams, None
        return streams

    @property
    def source_start(self) -> int:
        """Number in the shot of the first frame of `source`."""
        return FRAMES_PER_LATENT * (self.encoded - 1) + 1 - len(self.source)

    def to_bytes(self) -> bytes:
        """Returns the state as bytes, for a file."""
        tensors = {name: getattr(self, name).cpu().contiguous() for name in _TENSORS}
        stored = save(tensors)
        pixels = b"" if self.pixels is None else self.pixels.to_bytes()
        head = struct.pack(_HEAD, self.frames, self.decoded, self.encoded, len(stored), len(pixels))
        return head + stored + pixels

    @classmethod
    def from_bytes(cls, data: bytes, device: torch.device) -> Self:
        """Returns the state of `to_bytes`, with its latents on `device`."""
        frames, decoded, encoded, size, pixels_size = struct.unpack_from(_HEAD, data)
        start = struct.calcsize(_HEAD)
        tensors = load(data[start : start + size])
        pixels = data[start + size : start + size + pixels_size]
        return cls(
            frames,
            decoded,
            encoded,
            source=tensors["source"],
            clean=tensors["clean"].to(device),
            conditions=tensors["conditions"].to(device),
            predicted=tensors["predicted"].to(device),
            waiting=tensors["waiting"].to(device),
            pixels=PropagationState.from_bytes(pixels, device) if pixels else None,
        )


_TENSORS = ("source", "clean", "conditions", "predicted", "waiting")
