"""Frames at the edges of a pipeline: their shape, and the colours of their source."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vsr.config import Color
from vsr.errors import InputError
from vsr.ops.color import keep_flat_chroma, match_adain, match_wavelet
from vsr.ops.lab import match_lab
from vsr.runtime.timing import Timer


def require_shape(name: str, tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """Returns `tensor` if it has the shape that the frames ask for; else raises InputError."""
    if tuple(tensor.shape) != tuple(shape):
        found = tuple(tensor.shape)
        raise InputError(f"{name} has shape {found}; these frames need {tuple(shape)}")
    return tensor


def match_groups(
    groups: Iterable[Float[Tensor, "1 3 _ h2 w2"]],
    low_res: Float[Tensor, "1 3 t h w"],
    *,
    color: Color,
    timer: Timer,
) -> Iterator[Float[Tensor, "1 3 _ h2 w2"]]:
    """Yields groups of consecutive frames with the colours of their small frames.

    Frames of a source without colours get none, whatever the method; see `keep_flat_chroma`.
    """
    done = 0
    for group in groups:
        small = low_res[:, :, done : done + group.shape[2]]
        with timer("color"):
            matched = match_colors(group.float(), small, color=color)
            toned = keep_flat_chroma(
                *(rearrange(x, "1 c t h w -> t c h w") for x in (matched, small))
            )
        yield rearrange(toned, "t c h w -> 1 c t h w")
        done += group.shape[2]


def match_colors(
    frames: Float[Tensor, "1 3 t h2 w2"], low_res: Float[Tensor, "1 3 t h w"], *, color: Color
) -> Float[Tensor, "1 3 t h2 w2"]:
    """Returns `frames` in [-1, 1] with the colours of the small frames by the method `color`."""
    if color == "none":
        return frames
    images = rearrange(frames, "b c t h w -> (b t) c h w")
    small = rearrange(low_res, "b c t h w -> (b t) c h w")
    # contiguous: with channels innermost, three of them, it takes twice as long
    large = F.interpolate(small.contiguous(), images.shape[-2:], mode="bicubic")
    matched = _METHODS[color](images, large)
    return rearrange(matched, "t c h w -> 1 c t h w").clamp(-1, 1)


def _match_lab_by_frame(images: Tensor, large: Tensor) -> Tensor:
    """The same for a frame whatever frames are matched with it, so that colours do not step."""
    pairs = zip(images.split(1), large.split(1), strict=True)
    return torch.cat([match_lab(*pair) for pair in pairs])


_METHODS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "wavelet": match_wavelet,
    "adain": match_adain,
    "lab": _match_lab_by_frame,
}
