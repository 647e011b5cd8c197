"""The frames of one call of the pipeline, and what holds for all that is done with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from vsr.errors import ConfigError, InputError
from vsr.ops.noise import frame_noise
from vsr.ops.segments import WeightedSegment, blend_plan, fitted_length
from vsr.ops.tiles import Tile, plan_tiles
from vsr.pipelines.sampling import SamplingConfig
from vsr.runtime.timing import Timer


@dataclass(frozen=True, slots=True)
class Clip:
    """The frames of one call, and what holds for all that is done with them."""

    low_res: Float[Tensor, "1 3 t h w"]
    """In [-1, 1]."""
    numbers: range
    """Of the frames, in the film."""
    seed: int
    settings: SamplingConfig
    tile: int | None
    """Size of spatial tiles in LR pixels; None: no tiles."""
    timer: Timer

    def noise(
        self, *, channels: int, stream: Literal["latents", "low_res"]
    ) -> Float[Tensor, "1 c t h w"]:
        """Noise of the frames' absolute numbers."""
        shape = (channels, self.low_res.shape[-2], self.low_res.shape[-1])
        return frame_noise(shape, frames=self.numbers, seed=self.seed, stream=stream)[None]

    def tiles(self, *, enlarge: int = 1) -> tuple[Tile, ...]:
        """Tiles in LR pixels, or the same ones on the large frames."""
        h, w = self.low_res.shape[-2:]
        size = max(h, w) if self.tile is None else min(self.tile, max(h, w))
        overlap = min(self.settings.tile_overlap, size // 2)
        return plan_tiles(enlarge * h, enlarge * w, tile=enlarge * size, overlap=enlarge * overlap)

    def segments(self, length: int | None = None) -> tuple[WeightedSegment, ...]:
        """Segments that overlap as the settings say, also where their length is another.

        Crossfaded ones are as short as their number allows; the published average keeps its length.
        """
        frames, settings = len(self.numbers), self.settings
        overlap = settings.segment_length - settings.segment_stride
        length = settings.segment_length if length is None else length
        if length < 1:
            raise ConfigError(f"segment_length = {length}; it must be at least 1")
        overlap = min(overlap, length - 1)
        if settings.blend == "crossfade":
            length = fitted_length(frames, length=length, overlap=overlap)
            overlap = min(overlap, length - 1)
        return blend_plan(frames, length=length, stride=length - overlap, kind=settings.blend)


def propagated_steps(
    steps: int, propagation_steps: Sequence[int] | None, settings: SamplingConfig
) -> tuple[int, ...]:
    """The steps at which to propagate: those asked for, or the settings' own.

    Raises ConfigError for a step that is not among `steps`.
    """
    if steps < 1:
        raise ConfigError(f"num_inference_steps = {steps}; it must be at least 1")
    if propagation_steps is None:
        return tuple(step for step in settings.propagation_steps if step < steps)
    wrong = [step for step in propagation_steps if not 0 <= step < steps]
    if wrong:
        raise ConfigError(
            f"propagation_steps has {wrong[0]}; with {steps} steps they can be 0 to {steps - 1}"
        )
    return tuple(propagation_steps)


def fitting(name: str, tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """The tensor, if it has the shape that the frames ask for; else an InputError."""
    if tuple(tensor.shape) != tuple(shape):
        found = tuple(tensor.shape)
        raise InputError(f"{name} has shape {found}; these frames need {tuple(shape)}")
    return tensor
