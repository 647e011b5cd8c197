"""Costs of models, and what they come to on a machine: seconds a frame, memory, largest source."""

import math
from dataclasses import dataclass
from typing import Literal, Self

import psutil
import torch

from vsr.config import Dtype
from vsr.pipelines.clip_length import MOST_MODELS, ClipMemory, fitting_clip_length
from vsr.runtime.convolution_speed import convolution_seconds
from vsr.runtime.device import choose_device, choose_dtype, threads_in_words

Speed = Literal["fast", "medium", "slow", "very slow"]
_SLOWEST: tuple[tuple[float, Speed], ...] = ((0.5, "fast"), (2.0, "medium"), (30.0, "slow"))
"""Most seconds per frame of 320x180 in each class."""
_SAMPLE = (180, 320)
"""Height and width of the source that the figures are for."""
_MEASURED_ITEMSIZE = 2
"""Bytes of a number where the memory of the costs was measured."""
_SOURCES = ((180, 320), (360, 640), (480, 854), (720, 1280), (1080, 1920), (2160, 3840))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of a model, the same on all machines.

    `convolutions`: multiplications per pixel of a small frame, in those of a 3x3 convolution from
    64 to 64 channels. `rest`: bytes of a process with the model loaded. `per_pixel`: bytes more for
    each pixel of each small frame of a clip, in bfloat16. NaN: not known. `packed`: what clips
    take instead, where latents are packed pixels.
    """

    convolutions: float
    rest: float
    per_pixel: float = math.nan
    packed: ClipMemory | None = None

    @classmethod
    def unknown(cls) -> Self:
        """Returns the cost of a model that nobody has measured."""
        return cls(convolutions=math.nan, rest=math.nan)

    def bytes(self, height: int, width: int) -> float:
        """Returns the memory of a run on frames of this size, in clips of the default length."""
        frames = fitting_clip_length(height, width, self.packed or MOST_MODELS)
        clip = self.packed or ClipMemory(clip=self.per_pixel)
        return self.rest + clip.bytes(height, width, frames)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A device in a number format: its speed and its memory."""

    name: str
    """As the rows show it: `this CPU in bfloat16`."""
    convolution: float
    """Seconds per pixel of a 3x3 convolution from 64 to 64 channels."""
    memory_bytes: int
    itemsize: int = 2
    """Bytes of a number of the format."""

    @classmethod
    def here(cls, device: str = "auto", dtype: Dtype = "auto") -> Self:
        """Returns this machine as `--device` and `--dtype` choose it; measuring takes 0.3 s."""
        place = choose_device(device)
        number = choose_dtype(dtype, place)
        total = psutil.virtual_memory().total
        kind = f"this CPU ({threads_in_words()})"
        if place.type == "cuda":
            total = torch.cuda.get_device_properties(place).total_memory
            kind = torch.cuda.get_device_name(place)
        elif place.type != "cpu":
            kind = f"this {place.type.upper()} device"
        return cls(
            name=f"{kind} in {str(number).removeprefix('torch.')}",
            convolution=convolution_seconds(place, number),
            memory_bytes=total,
            itemsize=number.itemsize,
        )

    def seconds(self, cost: Cost) -> float:
        """Returns the seconds of the networks for a frame of 320x180."""
        height, width = _SAMPLE
        return cost.convolutions * self.convolution * height * width

    def speed(self, cost: Cost) -> str:
        """Returns the speed class and the time, in words."""
        seconds = self.seconds(cost)
        if math.isnan(seconds):
            return "not known: vsr models compare CLIP measures it"
        named = next((name for most, name in _SLOWEST if seconds <= most), "very slow")
        return f"{named}: about {_duration(seconds)} per frame of 320x180 on {self.name}"

    def memory(self, cost: Cost) -> str:
        """Returns the memory of a run and the largest source that fits, in words."""
        if math.isnan(cost.rest):
            return "not known: vsr plan CLIP --model NAME measures it"
        needs = {size: self._bytes(cost, *size) for size in _SOURCES}
        fitting = [size for size, need in needs.items() if need <= self.memory_bytes]
        fits = f"fits sources up to {_size(fitting[-1])}" if fitting else "does not fit"
        return (
            f"about {needs[_SAMPLE] / 1e9:.1f} GB for 320x180; {fits} into the "
            f"{self.memory_bytes / 1e9:.0f} GB here"
        )

    def _bytes(self, cost: Cost, height: int, width: int) -> float:
        clip = cost.bytes(height, width) - cost.rest
        return cost.rest + clip * self.itemsize / _MEASURED_ITEMSIZE


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds:.2g} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes < 100 else f"{minutes / 60:.1f} hours"


def _size(source: tuple[int, int]) -> str:
    return f"{source[1]}x{source[0]}"
