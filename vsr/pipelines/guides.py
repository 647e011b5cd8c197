"""Partial guidance: the predicted clean frames are moved towards properties that are known of them.

PGDiff (Yang et al. 2023) bends each step of the sampler by the gradient of a distance between a
property of the predicted frames and its target; all else is left to the model. Here each guide is
such a distance, L(x) = |A(x) - y|^2 / 2, and a frame's latents z take Polyak's step (1969)

    z <- z - weight (2 L / |g|^2) g,        g = dL/dz

which leads to the target at once where latents are pixels and A has rows of one length, and near
it through a decoder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vsr.errors import ConfigError, InputError
from vsr.models.vae import AutoencoderKLVideo
from vsr.ops.color import LUMA, luma
from vsr.ops.frame_formats import as_low_res
from vsr.option_values import GuideChoice, parse_guides
from vsr.video.images import read_image

Frame = Float[Tensor, "1 3 h4 w4"]
Distance = Callable[[Frame, int], Float[Tensor, ""]]
"""Gives L for a predicted frame in [-1, 1], and its number in the clip."""

_EPSILON = 1e-12
_DECODED_STEPS, _DECODED_PACE = 4, 0.5
"""Steps of each guide through a decoder, which is no linear map, and their part of Polyak's."""


@dataclass(frozen=True, slots=True)
class Guide:
    """A distance, and the part of the way that one step of it goes, in (0, 1]."""

    distance: Distance
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Guides:
    """Moves predicted clean latents by guides, frame by frame.

    `decode` gives the frame of latents and its number in the clip; `steps` are those of each guide.
    """

    guides: Sequence[Guide]
    decode: Callable[[Float[Tensor, "1 c 1 h w"], int], Float[Tensor, "1 3 1 h4 w4"]]
    steps: int = 1
    pace: float = 1.0
    """The part of Polyak's step: a whole one leads too far where A has rows of unequal length."""

    def __call__(self, x0: Float[Tensor, "1 c t h w"]) -> Float[Tensor, "1 c t h w"]:
        """Returns the latents with the properties that the guides ask for."""
        frames = x0.detach().split(1, dim=2)
        return torch.cat([self._guided(one, i) for i, one in enumerate(frames)], dim=2)

    def _guided(self, latents: Tensor, number: int) -> Tensor:
        for guide in self.guides:
            for _ in range(self.steps):
                latents = self._stepped(latents, number, guide)
        return latents

    def _stepped(self, latents: Tensor, number: int, guide: Guide) -> Tensor:
        with torch.enable_grad():
            z = latents.detach().float().requires_grad_()
            distance = guide.distance(self.decode(z, number)[:, :, 0].float(), number)
            (gradient,) = torch.autograd.grad(distance, z)
        size = 2 * distance.detach() / (gradient.square().sum() + _EPSILON)
        return (z.detach() - self.pace * guide.weight * size * gradient).to(latents.dtype)


def check_steps(guide: str | None, steps: int) -> None:
    """Raise ConfigError for guides in a run of one step, in which there is no way to bend."""
    if guide is not None and steps < 2:
        raise ConfigError(
            f"guide = {guide} bends each of several steps, and this run takes one: give --steps 4, "
            "or a model of several steps"
        )


def moves_colours(guide: str | None) -> bool:
    """Returns True if a guide gives frames other colours than the small ones have."""
    return any(choice.name == "colour" for choice in parse_guides(guide))


def clip_guides(
    choices: Sequence[GuideChoice],
    vae: AutoencoderKLVideo,
    low_res: Float[Tensor, "1 3 t h w"],
) -> Guides | None:
    """Returns the guides of a clip; None without choices.

    Raises InputError for a picture that cannot be read or whose shape is not the frames'.
    """
    if not choices:
        return None
    guides = [Guide(_distance(choice, low_res), choice.weight) for choice in choices]
    if vae.packed:
        return Guides(guides, lambda z, _: vae.warpable(z))
    return Guides(guides, partial(_decoded, vae, low_res), steps=_DECODED_STEPS, pace=_DECODED_PACE)


def lightness(low_res: Float[Tensor, "1 3 t h w"]) -> Distance:
    """Returns the distance to the lightness of the small frames; colours are free."""
    target = luma(low_res[0].movedim(1, 0))

    def distance(frame: Frame, number: int) -> Tensor:
        return _half_square(_reduced(luma(frame), target) - target[number : number + 1])

    return distance


def structure(low_res: Float[Tensor, "1 3 t h w"]) -> Distance:
    """Returns the distance of the reduced frames to the small ones; fine detail is free."""
    return inpainting(low_res, low_res.new_zeros(low_res.shape[-2:]))


def inpainting(low_res: Float[Tensor, "1 3 t h w"], lost: Float[Tensor, "h w"]) -> Distance:
    """Returns the distance to the small frames where they are not lost; what is lost is free."""
    known = 1 - lost

    def distance(frame: Frame, number: int) -> Tensor:
        return _half_square(known * (_reduced(frame, low_res) - low_res[:, :, number]))

    return distance


def colour_statistics(reference: Float[Tensor, "1 3 h2 w2"]) -> Distance:
    """Returns the distance of chroma to the mean and deviation of a picture; luma is free.

    The target is the frame with chroma of these moments, as of AdaIN (Huang & Belongie 2017,
    eq. 8). Both have one luma, and only what lies across its weights counts.
    """
    wanted = _moments(_chroma(reference))

    def distance(frame: Frame, number: int) -> Tensor:
        del number
        own = frame.detach()
        mean, deviation = _moments(_chroma(own))
        chroma = (_chroma(own) - mean) / deviation * wanted[1] + wanted[0]
        apart = frame - luma(own) - _without_luma(chroma)
        weights = frame.new_tensor(LUMA).view(1, 3, 1, 1)
        return _half_square(apart - luma(apart) * weights / weights.square().sum())

    return distance


def _distance(choice: GuideChoice, low_res: Tensor) -> Distance:
    if choice.name == "lightness":
        return lightness(low_res)
    if choice.name == "structure":
        return structure(low_res)
    picture = _picture(choice).to(low_res)
    if choice.name == "colour":
        return colour_statistics(picture)
    return inpainting(low_res, _mask(choice, picture, (low_res.shape[-2], low_res.shape[-1])))


def _picture(choice: GuideChoice) -> Float[Tensor, "1 3 h w"]:
    assert choice.path is not None, "the option was checked"
    if not choice.path.is_file():
        raise InputError(f"{choice.path}, the picture of the guide {choice.name}, is no file")
    pixels: Any = read_image(choice.path)
    return as_low_res(pixels[None])[:, :, 0]


def _mask(choice: GuideChoice, picture: Tensor, size: tuple[int, int]) -> Float[Tensor, "h w"]:
    h, w = picture.shape[-2:]
    if abs(h * size[1] - w * size[0]) > max(h, w, *size):
        raise InputError(
            f"{choice.path} has {w}x{h} pixels, another shape than the {size[1]}x{size[0]} of the "
            "frames that are enlarged: crop or scale it to that shape"
        )
    small = F.interpolate(picture, size, mode="area")
    return (luma(small)[0, 0] > 0).to(picture)


def _decoded(
    vae: AutoencoderKLVideo, low_res: Tensor, latents: Tensor, number: int
) -> Float[Tensor, "1 3 1 h4 w4"]:
    """Returns the decoded frame; what its gradient needs is computed again, to save memory."""
    small = low_res[:, :, number : number + 1]
    decoded = checkpoint(vae.decode_scaled, latents, small, use_reentrant=False)
    assert isinstance(decoded, Tensor), "the decoder gives frames"
    return decoded


def _half_square(x: Tensor) -> Float[Tensor, ""]:
    return x.square().sum() / 2


def _chroma(x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 2 h w"]:
    """Returns red and blue minus luma."""
    return (x - luma(x))[:, [0, 2]]


def _without_luma(chroma: Float[Tensor, "n 2 h w"]) -> Float[Tensor, "n 3 h w"]:
    """Returns the colours of that chroma whose luma is 0."""
    red, blue = chroma.split(1, dim=1)
    green = -(LUMA[0] * red + LUMA[2] * blue) / LUMA[1]
    return torch.cat([red, green, blue], dim=1)


def _moments(x: Float[Tensor, "n c h w"]) -> tuple[Tensor, Tensor]:
    mean = x.mean(dim=(-2, -1), keepdim=True)
    return mean, ((x - mean).square().mean(dim=(-2, -1), keepdim=True) + 1e-6).sqrt()


def _reduced(frame: Tensor, like: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(frame, (like.shape[-2], like.shape[-1]))
