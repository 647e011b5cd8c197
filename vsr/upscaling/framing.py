"""The part and the size of the frames that are computed, and their place in the output."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Self

import numpy as np
from jaxtyping import UInt8, UInt16

from vsr.checkpoints.find import (
    is_interpolation,
    is_picture_folder,
    knows_clean_frames,
    look_ahead,
    makes_any_size,
)
from vsr.config import NO_MODEL, UpscaleConfig
from vsr.upscaling.sizes import Size
from vsr.video.reading.bars import Bars
from vsr.video.reading.shot_traits import NO_ANALYSIS, ShotAnalysis, ShotTraits

_LEAST = 1.25
"""Smaller reductions save too little to be worth a second filter."""

_LOW_LINES = 288
"""Height up to which frames are not reduced unless it is asked for: a network needs them whole."""

Frames = UInt8[np.ndarray, "_ _ _ 3"] | UInt16[np.ndarray, "_ _ _ 3"]


def reduces_soft_frames(config: UpscaleConfig, lines: int) -> bool:
    """Return True if frames of this height are reduced where they hold less detail."""
    if config.reduce is None:
        return config.preset is None and lines > _LOW_LINES
    return config.reduce == "auto"


def reuses_repeats(config: UpscaleConfig) -> bool:
    """Return True if frames that repeat the one before get its large frame.

    Published presets compute every frame. So do films whose texture comes from pictures, each of
    which belongs to one frame; repaired ones, whose grain differs in each; and models that see a
    shot as one stream. Without a model there is nothing to save.
    """
    is_plain = config.preset is None and not is_picture_folder(config.texture_model)
    is_network = config.model != NO_MODEL and not makes_any_size(config.model)
    return is_plain and is_network and not config.restore


def clips_stand_alone(config: UpscaleConfig) -> bool:
    """Return True if no clip needs anything of the clips before it, so that a shot can be split.

    That is without repairs, without carried texture, and without propagation: bicubic and lanczos
    have none, image networks and model folders none where it is switched off. Recurrent networks
    and SeedVR always hand on a state.
    """
    if config.repairs or config.texture_model is not None:
        return False
    if config.model == NO_MODEL or is_interpolation(config.model):
        return True
    hands_on = makes_any_size(config.model) or look_ahead(config.model)
    return config.propagation == () and not hands_on


def shot_analysis(
    source: Size,
    size: Size,
    config: UpscaleConfig,
    native: int | None,
    *,
    is_lossless: bool = False,
) -> ShotAnalysis:
    """Return the traits of shots that decide how these frames are computed.

    `native` is the scale of the model; None: it computes at the size of the output. Clean frames
    are looked for where the source `is_lossless`: others bear the marks of their codec.

    Published presets and crops are computed as published: whole. So are bars where pictures of
    whole frames are given for the texture. Films that are repaired are computed whole too, since
    the repairs count other shots.
    """
    if config.repairs or config.model == NO_MODEL:
        return NO_ANALYSIS
    saves_time = _room(source, size, native) >= _LEAST and not is_interpolation(config.model)
    detail = saves_time and reduces_soft_frames(config, source.height)
    bars = config.preset is None and not is_picture_folder(config.texture_model)
    bars = bars and config.seedvr_crop is None
    clean = is_lossless and config.clean == "auto" and config.preset is None
    clean = clean and not config.noise_level and knows_clean_frames(config.model)
    return ShotAnalysis(bars=bars, detail=detail, clean=clean)


@dataclass(frozen=True, slots=True)
class Framing:
    """The way of a shot's frames: bars cut off, reduced, enlarged by a network, bars put back."""

    source: Size
    bars: Bars
    computed: Size
    """The size in which the network sees the picture."""
    native: int | None
    """The scale of the network; None: it makes frames of any size."""
    large_bars: Bars
    """Those of the output."""
    size: Size
    """That of the output."""

    @classmethod
    def of(
        cls,
        source: Size,
        size: Size,
        traits: ShotTraits,
        *,
        native: int | None,
        factor: float | None,
    ) -> Self:
        """Return the framing of a shot of these traits.

        `factor`: the reduction that is asked for; None: as much as the frames have no detail for
        and the network makes up for. Bars of the output are even, so that chroma does not mix.
        """
        bars = traits.bars
        inner = _inside(source, bars)
        large_bars = _enlarged(bars, source, size)
        large = _inside(size, large_bars)
        room = _room(inner, large, native)
        reduced = min(traits.reduction, room) if factor is None else factor
        computed = inner
        if reduced >= _LEAST or factor is not None:
            computed = _reduced(inner, reduced, large, native if factor is None else None)
        return cls(source, bars, computed, native, large_bars, size)

    @property
    def inner_size(self) -> Size:
        """The size of the picture in the output, without bars."""
        return _inside(self.size, self.large_bars)

    def prepare(self, frames: Frames) -> Frames:
        """Return the frames as the network sees them."""
        rows, columns = self.bars.inner(self.source.height, self.source.width)
        return _resized(frames[:, rows, columns], self.computed)

    def finish(self, frames: Frames) -> Frames:
        """Return the network's frames at the size of the output, in their bars."""
        pictures = _resized(frames, self.inner_size)
        if not self.bars:
            return pictures
        whole = np.empty((len(frames), self.size.height, self.size.width, 3), frames.dtype)
        whole[:] = self.bars.color
        rows, columns = self.large_bars.inner(self.size.height, self.size.width)
        whole[:, rows, columns] = pictures
        return whole

    def __str__(self) -> str:
        return "; ".join((f"{self.source} to {self.size}", *self.remarks()))

    def remarks(self) -> Sequence[str]:
        """Return what is not plain about it, in words."""
        parts: list[str] = []
        made = self.inner_size
        if self.native is not None:
            made = Size(self.native * self.computed.height, self.native * self.computed.width)
        if self.bars:
            sides = ("top", "bottom", "left", "right")
            rows = ", ".join(f"{getattr(self.bars, side)} {side}" for side in sides)
            parts.append(f"black bars are left out and put back ({rows})")
        is_reduced = self.computed != _inside(self.source, self.bars)
        if is_reduced:
            parts.append(f"reduced to {self.computed} first")
        if made.height < self.inner_size.height:
            parts.append(f"computed at {made}, and the rest of the way is bicubic")
        elif made.height > self.inner_size.height and not is_reduced:
            parts.append(f"computed at {made}, so it takes as long as scale {self.native}")
        return parts


def _resized(frames: Frames, size: Size) -> Frames:
    from vsr.ops.resize import reduce_frames  # at use: it brings torch

    return reduce_frames(frames, size.height, size.width)


def _room(source: Size, size: Size, native: int | None) -> float:
    """Return how many times larger than needed the network makes these frames."""
    if native is None:
        return 1.0
    return min(native * source.height / size.height, native * source.width / size.width)


def _inside(size: Size, bars: Bars) -> Size:
    return Size(size.height - bars.top - bars.bottom, size.width - bars.left - bars.right)


def _enlarged(bars: Bars, source: Size, size: Size) -> Bars:
    down, across = size.height / source.height, size.width / source.width
    return Bars(
        top=_even(bars.top * down),
        bottom=_even(bars.bottom * down),
        left=_even(bars.left * across),
        right=_even(bars.right * across),
        color=bars.color,
    )


def _even(value: float) -> int:
    return 2 * round(value / 2)


def _reduced(source: Size, factor: float, large: Size, native: int | None) -> Size:
    """Return the reduced size; with `native`, not below the one that is enlarged to `large`."""
    least = Size(1, 1)
    if native is not None:
        least = Size(ceil(large.height / native), ceil(large.width / native))
    height, width = round(source.height / factor), round(source.width / factor)
    return Size(max(height, least.height), max(width, least.width))
