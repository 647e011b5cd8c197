"""The stand-in for an upscaler where frames keep their size and no network is asked for."""

from dataclasses import dataclass

import numpy as np
import torch

from vsr.ops.resize import reduce_frames
from vsr.upscaling.clip_upscaler import UpscaledClip
from vsr.upscaling.sizes import Size
from vsr.video.reading.clips import Clip


@dataclass(slots=True)
class SameSize:
    """Gives the frames of clips as they are; an odd size is brought to the output's even one."""

    size: Size

    @property
    def texture(self) -> None:
        """No texture is carried."""

    @property
    def device(self) -> torch.device:
        """The device of its work."""
        return torch.device("cpu")

    def __call__(self, clip: Clip) -> UpscaledClip:
        """Return the frames of `clip`."""
        frames = np.stack([frame.pixels for frame in clip.frames])
        pixels = reduce_frames(frames, self.size.height, self.size.width)
        return UpscaledClip(pixels, tuple(frame.pts for frame in clip.frames))

    def carried(self) -> bytes:
        """Return nothing: no frame depends on the ones before."""
        return b""

    def resume(self, carried: bytes) -> None:
        """Continue, for which nothing is needed."""
