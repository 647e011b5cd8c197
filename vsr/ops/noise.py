"""Gaussian noise by absolute frame number: the same whoever draws it, and in any order."""

import hashlib
from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from vsr.errors import InputError

NoiseSource = partial[Float[Tensor, "1 c _ h w"]]
"""Draws the noise of a clip's frames, or of `only` one, given `channels` and `stream`."""


def clip_noise(
    low_res: Float[Tensor, "1 3 t h w"],
    *,
    first_frame: int | Sequence[int],
    seed: int,
    channels: int,
    stream: str,
    only: int | None = None,
) -> Float[Tensor, "1 c _ h w"]:
    """Returns the noise of the frames of a clip, or of `only` one, at the size of `low_res`.

    `first_frame`: the number of the first frame in its film, or the numbers of all. Raises
    InputError if these are not as many as the frames.
    """
    _, _, frames, h, w = low_res.shape
    numbers = first_frame
    if isinstance(numbers, int):
        numbers = range(numbers, numbers + frames)
    if len(numbers) != frames:
        raise InputError(f"first_frame has {len(numbers)} numbers for {frames} frames")
    chosen = numbers if only is None else numbers[only : only + 1]
    return frame_noise((channels, h, w), frames=chosen, seed=seed, stream=stream)[None]


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
