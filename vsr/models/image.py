"""Image networks from one file each: whatever spandrel recognises by its weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import spandrel
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vsr.config import NETWORK_SUFFIXES
from vsr.errors import ConfigError, ModelError, NumericalError
from vsr.models.blocks import channels_innermost
from vsr.models.weight_files import read_content
from vsr.ops.color import luma

_RGB, _GREY = 3, 1
_CONVOLUTIONAL = ("Compact", "ESRGAN")
"""Architectures of spandrel that hold nothing but convolutions."""

Tiling = Literal["free", "on request", "never"]


@dataclass(frozen=True, slots=True)
class SizeRules:
    """Frame sizes that a network takes; others are padded to such a size, then cropped."""

    minimum: int
    multiple_of: int
    square: bool

    def __str__(self) -> str:
        shape = "squares" if self.square else "any"
        least = f" of at least {self.minimum}" if self.minimum else ""
        return f"{shape}{least} in multiples of {self.multiple_of}"


@dataclass(frozen=True, slots=True)
class ImageNetwork:
    """A network that enlarges one image in one step, or restores it at its own size."""

    name: str
    descriptor: spandrel.ImageModelDescriptor[nn.Module]

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The network in the file `path`, in float32 on the CPU.

        A pickle (.pth, .pt, .ckpt) is read without running its code. Raises ModelError for a file
        that is missing, unsafe or broken, or is not a network from images to images.
        """
        path = Path(path)
        if path.suffix.lower() not in NETWORK_SUFFIXES:
            allowed = ", ".join(NETWORK_SUFFIXES)
            raise ModelError(f"{path} is not known as a network; it can end in {allowed}")
        return cls.of_weights(read_content(path), path)

    @classmethod
    def of_weights(
        cls, content: Mapping[str, Any], path: Path, *, device: torch.device | str = "cpu"
    ) -> Self:
        """The network of the content of a file of weights, on the device where these are.

        Raises ModelError if it is not a network from images to images; `path` is for the message.
        """
        found = _recognised(content, path, device)
        if not isinstance(found, spandrel.ImageModelDescriptor) or found.purpose == "FaceSR":
            raise ModelError(
                f"{path} is a {found.architecture.name} network for {found.purpose}; it can be one "
                "for super-resolution or restoration of whole images"
            )
        channels = (found.input_channels, found.output_channels)
        if channels not in ((_RGB, _RGB), (_GREY, _GREY)):
            raise ModelError(
                f"{path} takes {channels[0]} channels and gives {channels[1]}; it can be 3 and 3 "
                "(RGB) or 1 and 1 (grey)"
            )
        found.eval().model.requires_grad_(False)
        if found.architecture.id in _CONVOLUTIONAL:
            channels_innermost(found.model)
        return cls(path.name, found)

    @property
    def architecture(self) -> str:
        """Name and tags of the architecture, as spandrel has them."""
        return " ".join([self.descriptor.architecture.name, *self.descriptor.tags])

    @property
    def purpose(self) -> str:
        """SR or Restoration."""
        return self.descriptor.purpose

    @property
    def scale(self) -> int:
        """Size of the output divided by that of the input."""
        return self.descriptor.scale

    @property
    def grey(self) -> bool:
        """True if it takes luma only; the colours then come from the enlarged frame."""
        return self.descriptor.input_channels == _GREY

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self.descriptor.model.parameters())

    @property
    def sizes(self) -> SizeRules:
        """Frame sizes that it takes without padding."""
        rules = self.descriptor.size_requirements
        return SizeRules(rules.minimum, rules.multiple_of, rules.square)

    @property
    def tiling(self) -> Tiling:
        """Permission to cut frames into tiles; "on request": it sees far, so tiles may show."""
        kinds = spandrel.ModelTiling
        known: dict[spandrel.ModelTiling, Tiling] = {
            kinds.SUPPORTED: "free",
            kinds.DISCOURAGED: "on request",
            kinds.INTERNAL: "never",
        }
        return known[self.descriptor.tiling]

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        return self.descriptor.device

    @property
    def dtypes(self) -> tuple[torch.dtype, ...]:
        """The number formats that it computes in."""
        half = (torch.float16,) if self.descriptor.supports_half else ()
        brain = (torch.bfloat16,) if self.descriptor.supports_bfloat16 else ()
        return (torch.float32, *brain, *half)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Self:
        """Move it, and return it. Raises ConfigError for a format it does not compute in."""
        if dtype not in self.dtypes:
            allowed = ", ".join(str(known).removeprefix("torch.") for known in self.dtypes)
            raise ConfigError(
                f"{self.name} does not compute in {str(dtype).removeprefix('torch.')}; "
                f"it can be {allowed}"
            )
        self.descriptor.to(device=torch.device(device), dtype=dtype)
        return self

    def __call__(self, frame: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h2 w2"]:
        """The frame `scale` times larger; both are RGB in [-1, 1], in float32.

        Raises ModelError for another size, NumericalError for values that are no picture.
        """
        image = frame / 2 + 0.5
        large = self._predict(luma(image) if self.grey else image)
        h, w = frame.shape[-2:]
        if large.shape[-2:] != (h * self.scale, w * self.scale):
            raise ModelError(
                f"{self.name} made {tuple(large.shape)} of {tuple(frame.shape)}: it does not "
                f"enlarge {self.scale} times"
            )
        if not large.isfinite().all():
            raise NumericalError(f"{self.name} makes values that are not finite")
        if self.grey:
            enlarged = F.interpolate(image, large.shape[-2:], mode="bicubic")
            # each of R, G and B holds luma with weight 1 beside the differences of colour
            large = (enlarged + (large - luma(enlarged))).clamp(0, 1)
        return large * 2 - 1

    def _predict(self, image: Tensor) -> Tensor:
        """The descriptor pads to its size rules by reflection, crops, and clamps to [0, 1]."""
        return self.descriptor(image.to(self.descriptor.device, self.descriptor.dtype)).float()


def _recognised(
    content: Mapping[str, Any], path: Path, device: torch.device | str
) -> spandrel.ModelDescriptor:
    """The network that spandrel builds from the content of a file of weights."""
    try:
        return spandrel.ModelLoader(device).load_from_state_dict(dict(content))
    except Exception as error:  # any kind, for weights that only look like theirs
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ModelError(f"{path} holds no image network that is known: {reason}") from error
