"""Pictures of key frames by a pipeline, in tiles where memory does not suffice for whole frames."""

import logging
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from vsr.errors import DeviceError
from vsr.pipelines.settings import SamplingConfig
from vsr.upscaling.fallback import free_memory, is_shortage, short_reason

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class PipelineDraws:
    """Draws single frames by the pipeline `name`, without propagation.

    Where memory does not suffice, this frame and all after it are drawn in smaller tiles.
    """

    name: str
    pipeline: Any
    """Any pipeline that upscales clips."""
    settings: SamplingConfig

    def __call__(self, frames: UInt8[np.ndarray, "1 h w 3"]) -> UInt8[np.ndarray, "1 h2 w2 3"]:
        """Returns one frame, larger. Raises DeviceError where the smallest tile is too large."""
        while True:
            try:
                return self.pipeline(frames, settings=self.settings).frames
            except (RuntimeError, MemoryError, cv2.error) as error:
                if not is_shortage(error):
                    raise
                reason = short_reason(error)
            self._take_smaller_tiles(max(frames.shape[1:3]), reason)  # the error held its tensors

    def _take_smaller_tiles(self, longer_side: int, reason: str) -> None:
        smallest = self.pipeline.memory_traits.smallest_tile
        tile = min(self.settings.tile or longer_side, longer_side)
        if smallest is None or tile <= smallest:
            raise DeviceError(
                f"memory does not suffice for the texture by {self.name} ({reason}): end other "
                "programs, or give --texture none, or a smaller model as realesr-general-x4v3"
            )
        self.settings = replace(self.settings, tile=max(smallest, -(-tile // 2)))
        free_memory()
        _log.warning(
            "memory does not suffice for the texture by %s (%s): now in tiles of %s pixels",
            self.name,
            reason,
            self.settings.tile,
        )
