"""Gaussian noise by absolute frame number: the same whoever draws it, and in any order."""

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def frame_noise(
    shape: tuple[int, int, int], *, frames: Sequence[int], seed: int, stream: str
) -> Float[Tensor, "c t h w"]:
    """Returns normal noise of `shape` (c, h, w) for absolute frame numbers, float32 on the CPU.

    A frame's noise depends on (seed, stream, frame number) and the shape only: not on clips,
    segments, tiles, resuming or the number of processes. Streams are independent of each other.
    """
    if len(frames) == 0:
        c, h, w = shape
        return torch.empty(c, 0, h, w)
    return torch.stack([_one_frame(shape, seed, stream, number) for number in frames], dim=1)


def _one_frame(shape: tuple[int, int, int], seed: int, stream: str, number: int) -> Tensor:
    generator = torch.Generator().manual_seed(_key(seed, stream, number))
    return torch.randn(shape, generator=generator)


def _key(seed: int, stream: str, number: int) -> int:
    # hash() differs from run to run; the Mersenne twister takes the low 32 bits of its seed
    digest = hashlib.blake2b(f"{seed}/{stream}/{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")
