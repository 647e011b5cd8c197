"""Frames at the edges of a pipeline: conversion in and out, and colour matching."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vsr.config import Color
from vsr.errors import InputError, NumericalError
from vsr.ops.color import keep_flat_chroma, match_adain, match_wavelet
from vsr.runtime.timing import Timer

OutputType = Literal["np", "pt"]

_WHITE = {torch.uint8: 255, torch.uint16: 65535}
"""The largest value of a colour."""


def as_low_res(frames: Any) -> Float[Tensor, "1 3 t h w"]:
    """Returns `frames` as floats in [-1, 1].

    They are uint8 or uint16 `t h w 3`, or already floats of the returned form.

    Raises InputError for anything else.
    """
    if isinstance(frames, np.ndarray):
        frames = torch.from_numpy(frames)
    if not isinstance(frames, Tensor):
        raise InputError(f"frames are a {type(frames).__name__}; give a NumPy array or a tensor")
    if frames.dtype in _WHITE and frames.ndim == 4 and frames.shape[-1] == 3:
        half = _WHITE[frames.dtype] / 2
        low_res = rearrange(frames, "t h w c -> 1 c t h w").float() / half - 1
    elif frames.is_floating_point() and frames.ndim == 5 and frames.shape[:2] == (1, 3):
        low_res = frames.float()
    else:
        raise InputError(
            f"frames are {frames.dtype} of shape {tuple(frames.shape)}; give uint8 or uint16 "
            "(t, h, w, 3), or float (1, 3, t, h, w) in [-1, 1]"
        )
    if low_res.numel() == 0:
        raise InputError(f"frames of shape {tuple(frames.shape)} are empty; give at least one")
    return low_res


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
    large = F.interpolate(small, images.shape[-2:], mode="bicubic")
    matched = {"wavelet": match_wavelet, "adain": match_adain}[color](images, large)
    return rearrange(matched, "t c h w -> 1 c t h w").clamp(-1, 1)


def collect(
    groups: Iterable[Float[Tensor, "1 3 _ h w"]], output_type: OutputType, *, like: Any
) -> Any:
    """Returns groups of frames, as they come one by one, as one array; for "pt" as one tensor.

    For "np" it is `t h w 3`: uint16 where the frames `like` were, uint8 else. Each group leaves its
    device before the next is asked for. Raises NumericalError for values that are not finite.
    """
    groups = _finite(groups)
    if output_type == "pt":
        return torch.cat(list(groups), dim=2)
    deep = str(getattr(like, "dtype", "")).endswith("uint16")
    dtype = torch.uint16 if deep else torch.uint8
    half = _WHITE[dtype] / 2
    images = [
        rearrange((group[0].float() * half + half).round_().to(dtype), "c t h w -> t h w c")
        .cpu()
        .numpy()
        for group in groups
    ]
    return np.concatenate(images)


def _finite(groups: Iterable[Tensor]) -> Iterator[Tensor]:
    done = 0
    for group in groups:
        bad = torch.nonzero(~group.isfinite().all(dim=(0, 1, 3, 4)))
        if len(bad):
            frames = tuple(done + int(i) for i in bad)
            raise NumericalError("the networks make values that are not finite", frames)
        yield group
        done += group.shape[2]
