"""Frames in the forms that callers have them, to the tensors of the pipelines and back."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8, UInt16
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vsr.errors import ConfigError, InputError, NumericalError

OutputType = Literal["np", "pt", "pil"]

LargeFrames = (
    UInt8[np.ndarray, "t h4 w4 3"]
    | UInt16[np.ndarray, "t h4 w4 3"]
    | Float[Tensor, "1 3 t h4 w4"]
    | list[Image.Image]
)
"""The frames of a finished clip in the forms of `collect`."""
_WHITE = {torch.uint8: 255, torch.uint16: 65535}
"""The largest value of a colour."""
_RGB = 3
_OVER = 1e-3
"""Floats may lie outside [0, 1] by this much, by rounding; they are clamped."""
_PLAIN_MODES = ("RGB", "L", "1")
"""Modes of PIL images that become RGB without loss."""
_FORMS = (
    "give uint8 or uint16 (t, h, w, 3), or the same as (t, 3, h, w), as floats in [0, 1] or as a "
    "list of frames or PIL images; or float (1, 3, t, h, w) in [-1, 1]"
)


def as_low_res(frames: Any) -> Float[Tensor, "1 3 t h w"]:
    """Returns `frames` as floats in [-1, 1].

    They are `t h w 3` or `t 3 h w`, uint8, uint16 or floats in [0, 1]; a list of frames of these
    forms, or of PIL images; or already floats of the returned form. Raises InputError for anything
    else, for values outside the range and for frames of several sizes.
    """
    given = as_tensor(frames)
    if given.is_floating_point() and given.ndim == 5 and given.shape[:2] == (1, _RGB):
        low_res = given.float()
    else:
        low_res = rearrange(_signed(_channels_last(given)), "t h w c -> 1 c t h w")
    if low_res.numel() == 0:
        raise InputError(f"frames of shape {tuple(given.shape)} are empty; give at least one")
    return low_res


def as_tensor(frames: Any) -> Tensor:
    """Returns frames of any form as one tensor of their own values, as yet unchecked.

    Raises InputError for what is no frames at all, and for lists of frames that differ in form.
    """
    if isinstance(frames, Image.Image):
        frames = [frames]
    if isinstance(frames, (list, tuple)):
        return _stacked(cast("Sequence[Any]", frames))
    return _one_tensor(frames)


def frame_pixels(frame: Any) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Returns one frame of any form as `h w 3`: uint8 or uint16 as it is, floats as uint16."""
    pixels = _channels_last(as_tensor([frame]))[0]
    if pixels.dtype not in _WHITE:
        pixels = (_unit_range(pixels) * _WHITE[torch.uint16]).round().to(torch.uint16)
    return pixels.cpu().numpy()


def checked_output_type(output_type: str) -> OutputType:
    """Returns the output type. Raises ConfigError for another than np, pt and pil."""
    if output_type not in get_args(OutputType):
        hint = "; the latents are in the output beside the frames" if "lat" in output_type else ""
        raise ConfigError(f"output_type = {output_type}; it can be np, pt or pil{hint}")
    return cast("OutputType", output_type)


def collect(
    groups: Iterable[Float[Tensor, "1 3 _ h w"]], output_type: OutputType, *, like: Any
) -> Any:
    """Returns groups of frames, as they come one by one, as one array, tensor or list.

    "np": `t h w 3`, uint16 where the frames `like` were, uint8 else. "pil": a list of images of 8
    bits. "pt": floats `1 3 t h w` in [-1, 1]. Each group leaves its device before the next is asked
    for. Raises NumericalError for values that are not finite.
    """
    groups = _finite(groups)
    if output_type == "pt":
        return torch.cat(list(groups), dim=2)
    deep = output_type == "np" and _is_deep(like)
    dtype = torch.uint16 if deep else torch.uint8
    half = _WHITE[dtype] / 2
    images = [
        rearrange((group[0].float() * half + half).round_().to(dtype), "c t h w -> t h w c")
        .cpu()
        .numpy()
        for group in groups
    ]
    if output_type == "pil":
        return [Image.fromarray(image) for group in images for image in group]
    return np.concatenate(images)


def _one_tensor(frames: Any) -> Tensor:
    if isinstance(frames, np.ndarray):
        frames = torch.from_numpy(np.ascontiguousarray(frames))
    if not isinstance(frames, Tensor):
        raise InputError(f"frames are a {type(frames).__name__}; give a NumPy array or a tensor")
    return frames


def _stacked(frames: Sequence[Any]) -> Tensor:
    if not frames:
        raise InputError("frames are an empty list; give at least one")
    single = [_single(frame, i) for i, frame in enumerate(frames)]
    for i, frame in enumerate(single):
        if (frame.shape, frame.dtype) != (single[0].shape, single[0].dtype):
            raise InputError(
                f"frame {i} is {_form(frame)} and frame 0 is {_form(single[0])}: give frames of "
                "one size and type"
            )
    return torch.stack(single)


def _single(frame: Any, number: int) -> Tensor:
    if isinstance(frame, Image.Image):
        if frame.mode not in _PLAIN_MODES:
            raise InputError(
                f"picture {number} has the mode {frame.mode}; give RGB, as by .convert('RGB')"
            )
        return torch.from_numpy(np.array(frame.convert("RGB")))
    if not isinstance(frame, (np.ndarray, Tensor)):
        raise InputError(
            f"frame {number} of the list is a {type(frame).__name__}; give PIL images, NumPy "
            "arrays or tensors"
        )
    return _one_tensor(frame)


def _channels_last(frames: Tensor) -> Tensor:
    """The frames as `t h w 3`; three columns of pixels are taken for channels."""
    plain = frames.dtype in _WHITE or frames.is_floating_point()
    if plain and frames.ndim == 4:
        if frames.shape[-1] == _RGB:
            return frames
        if frames.shape[1] == _RGB:
            return rearrange(frames, "t c h w -> t h w c")
    raise InputError(f"frames are {_form(frames)}; {_FORMS}")


def _signed(frames: Tensor) -> Tensor:
    """The frames as floats in [-1, 1]."""
    if frames.dtype in _WHITE:
        return frames.float() / (_WHITE[frames.dtype] / 2) - 1
    return _unit_range(frames) * 2 - 1


def _unit_range(frames: Tensor) -> Tensor:
    """The floats, which must be in [0, 1]."""
    low, high = (float(end) for end in (frames.min(), frames.max())) if frames.numel() else (0, 0)
    if not (low >= -_OVER and high <= 1 + _OVER):
        raise InputError(
            f"frames are floats from {low:.3g} to {high:.3g}; in this form they must be in "
            "[0, 1]: scale them, or give (1, 3, t, h, w) in [-1, 1]"
        )
    return frames.float().clamp(0, 1)


def _form(frames: Tensor) -> str:
    return f"{str(frames.dtype).removeprefix('torch.')} of shape {tuple(frames.shape)}"


def _is_deep(frames: Any) -> bool:
    """True for frames of uint16, or a list of them."""
    first: Any = frames[0] if isinstance(frames, (list, tuple)) else frames
    return str(getattr(first, "dtype", "")).endswith("uint16")


def _finite(groups: Iterable[Tensor]) -> Iterator[Tensor]:
    done = 0
    bad: list[int] = []
    for group in groups:
        bad += [done + i for i in _spoilt(group)]
        done += group.shape[2]
        if not bad:  # after the first one, the others are only looked for, to be named
            yield group
    if bad:
        raise NumericalError("the networks make values that are not finite", tuple(bad))


def _spoilt(group: Tensor) -> list[int]:
    """The frames of a group with values that are not finite; their sum is not finite either."""
    if group.sum().isfinite():
        return []
    return torch.nonzero(~group.isfinite().all(dim=(0, 1, 3, 4))).flatten().tolist()
