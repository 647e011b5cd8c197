"""ClipPredictor: runs the U-Net over a clip's segments and tiles, with guidance."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vsr.models.attention import TextMemory
from vsr.models.unet import UNetVideoModel
from vsr.ops.segments import WeightedSegment
from vsr.ops.tiles import Tile
from vsr.runtime.timing import Timer


@dataclass(frozen=True, slots=True)
class Guidance:
    """Text, and how strongly it steers: n + scale (p - n) (Ho & Salimans 2022, eq. 6).

    `interval`: the part of the schedule in which it does, 0 clean and 1 noise; elsewhere the
    prediction is p alone (Kynkäänniemi et al. 2024).
    """

    text: Float[Tensor, "k n d"] | None
    """Embeddings of the negative prompt and the prompt, or of the prompt alone."""
    scale: float
    interval: tuple[float, float]

    def text_at(self, share: float) -> Tensor | None:
        """The embeddings to look at where `share` of the schedule is left."""
        low, high = self.interval
        return self.text if self.text is None or low <= share <= high else self.text[-1:]

    def combine(self, output: Float[Tensor, "k c t h w"]) -> Float[Tensor, "1 c t h w"]:
        """One prediction from those for each of the embeddings."""
        if output.shape[0] == 1:
            return output
        negative, positive = output.chunk(2)
        return negative + self.scale * (positive - negative)


@dataclass(frozen=True, slots=True)
class ClipPredictor:
    """Runs the U-Net over a clip's segments and tiles and blends the results."""

    unet: UNetVideoModel
    noisy: Float[Tensor, "1 3 t h w"]
    """The LR frames with their noise."""
    level: Int[Tensor, "1"]
    """The level of that noise."""
    guidance: Guidance
    segments: Sequence[WeightedSegment]
    tiles: Sequence[Tile]
    train_timesteps: int
    timer: Timer
    frame_window: int | None = None
    """Rows and columns of the windows that replace full attention; None: the whole frame."""
    _memories: dict[int, TextMemory] = field(default_factory=dict[int, TextMemory])
    """Keys and values of each number of texts, for all steps, segments and tiles."""

    def __call__(
        self, latents: Float[Tensor, "1 c t h w"], timestep: Tensor
    ) -> Float[Tensor, "1 c t h w"]:
        """Returns the blended prediction, in the type of `latents`."""
        memory = self._memory(self.guidance.text_at(float(timestep) / self.train_timesteps))
        blended: Tensor | None = None
        for segment, tile in product(self.segments, self.tiles):
            span = slice(segment.start, segment.stop)
            with self.timer("U-Net"):
                output = self.unet(
                    tile.crop(latents[:, :, span]).to(self.unet.dtype),
                    timestep,
                    low_res=tile.crop(self.noisy[:, :, span]),
                    class_labels=self.level,
                    encoder_hidden_states=memory,
                    frame_window=self.frame_window,
                ).sample
            part = self.guidance.combine(output.to(latents.dtype))
            if len(self.segments) == len(self.tiles) == 1:
                return part  # nothing to blend, and no map to blend it in: the largest of all
            part = latents.new_tensor(segment.weights).view(-1, 1, 1) * part
            if len(self.tiles) > 1:
                part = part * tile.weights(part)
            blended = torch.zeros_like(latents) if blended is None else blended
            tile.crop(blended[:, :, span]).add_(part)
        assert blended is not None, "a clip has a segment and a tile"
        return blended

    def _memory(self, text: Tensor | None) -> TextMemory | None:
        if text is None:
            return None
        return self._memories.setdefault(text.shape[0], TextMemory(text))
