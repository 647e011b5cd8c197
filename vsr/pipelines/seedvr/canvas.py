"""The size in which SeedVR computes: small frames resized to the target, sides multiples of 16."""

import math
from dataclasses import dataclass
from typing import Self

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from vsr.errors import ConfigError
from vsr.pipelines.clip_length import SEEDVR_MULTIPLE as MULTIPLE

_FITS = ("pad", "crop")


@dataclass(frozen=True, slots=True)
class Canvas:
    """Resized frames of `height` x `width`, and the canvas on which the networks see them.

    "pad" mirrors them at the right and the bottom up to the next multiple of 16, and `finish` cuts
    that off again: nothing is lost. "crop" cuts the centre out, as the published script does.
    """

    height: int
    width: int
    fit: str = "pad"

    def __post_init__(self) -> None:
        if self.fit not in _FITS:
            raise ConfigError(f"fit = {self.fit}; it can be pad or crop")
        if self.fit == "crop" and min(self.height, self.width) < MULTIPLE:
            raise ConfigError(
                f"frames of {self.width}x{self.height} cannot be cropped to multiples of "
                f"{MULTIPLE}; use the fit pad or a larger target"
            )

    @classmethod
    def of_area(cls, height: int, width: int, area: float, *, fit: str) -> Self:
        """Returns the canvas for frames resized to about `area` pixels, with their aspect."""
        if area <= 0:
            raise ConfigError(f"target_area = {area} is out of range; it must be above 0")
        factor = math.sqrt(area / (height * width))
        return cls(max(round(factor * height), 1), max(round(factor * width), 1), fit)

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width that the networks see."""
        if self.fit == "crop":
            return self.height // MULTIPLE * MULTIPLE, self.width // MULTIPLE * MULTIPLE
        return _up(self.height), _up(self.width)

    @property
    def shown(self) -> tuple[int, int]:
        """Height and width of the result."""
        return self.padded if self.fit == "crop" else (self.height, self.width)

    def resized(self, frames: Float[Tensor, "1 3 t h w"]) -> Float[Tensor, "1 3 t h2 w2"]:
        """Returns frames in [-1, 1] at the size of the result, bicubic and anti-aliased."""
        images = rearrange(frames, "1 c t h w -> t c h w") / 2 + 0.5
        size = (self.height, self.width)
        large = F.interpolate(images, size=size, mode="bicubic", antialias=True).clamp(0, 1)
        if self.fit == "crop":
            h, w = self.padded
            top, left = (round((full - part) / 2) for full, part in zip(size, (h, w), strict=True))
            large = large[:, :, top : top + h, left : left + w]
        return rearrange(large * 2 - 1, "t c h w -> 1 c t h w")

    def padded_frames(self, frames: Float[Tensor, "1 3 t h w"]) -> Float[Tensor, "1 3 t h2 w2"]:
        """Returns resized frames on the canvas."""
        down, across = (
            full - side for full, side in zip(self.padded, frames.shape[-2:], strict=True)
        )
        # a picture smaller than its padding is mirrored several times
        while down > 0 or across > 0:
            h, w = frames.shape[-2:]
            rows, columns = min(down, max(h - 1, 0)), min(across, max(w - 1, 0))
            mode = "reflect" if rows + columns else "replicate"
            if mode == "replicate":
                rows, columns = down, across
            frames = F.pad(frames, (0, columns, 0, rows, 0, 0), mode=mode)
            down, across = down - rows, across - columns
        return frames

    def finish(self, frames: Float[Tensor, "1 3 t h w"]) -> Float[Tensor, "1 3 t h2 w2"]:
        """Returns decoded frames without the padding."""
        h, w = self.shown
        return frames[..., :h, :w]


def _up(side: int) -> int:
    return -(-side // MULTIPLE) * MULTIPLE
