"""Dense inverse search by OpenCV, for frames of any size; no torch."""

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

DisPreset = Literal["ultrafast", "fast", "medium"]

# DIS matches patches of 8 pixels at 1/4 (preset medium: 1/2) and below; on wide frames less than
# 8 * 4 pixels high OpenCV 5.0 picks a level without a single patch and dies of a memory fault.
_MIN_SIZE = 32


class DenseSearch:
    """Optical flow between two pictures of luma by DIS (Kroeger et al. 2016), on the CPU.

    None leaves a value to the preset: `finest_scale` 0 matches at the pictures' own size, 1 at half
    of it; `iterations` of the variational refinement, and the weight of its `smoothness`.
    """

    def __init__(
        self,
        preset: DisPreset = "medium",
        *,
        finest_scale: int | None = None,
        iterations: int | None = None,
        smoothness: float | None = None,
    ) -> None:
        def search() -> cv2.DISOpticalFlow:
            kind = getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{preset.upper()}")
            created = cv2.DISOpticalFlow.create(kind)
            if finest_scale is not None:
                created.setFinestScale(finest_scale)
            if iterations is not None:
                created.setVariationalRefinementIterations(iterations)
            if smoothness is not None:
                created.setVariationalRefinementAlpha(smoothness)
            return created

        # OpenCV keeps an initial flow for later calls without one: they get a search of their own
        self._search, self._continued = search(), search()

    def __call__(
        self,
        source: NDArray[np.uint8],
        target: NDArray[np.uint8],
        initial: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Returns the flow from `source` to `target`, `h w 2`; the search begins at `initial`.

        Pictures below 32 pixels are padded, and their flow is cropped.
        """
        h, w = source.shape
        margin = ((0, max(0, _MIN_SIZE - h)), (0, max(0, _MIN_SIZE - w)))
        padded = [np.pad(image, margin, mode="edge") for image in (source, target)]
        if initial is None:
            flow: Any = self._search.calc(padded[0], padded[1], None)  # type: ignore[call-overload]
        else:
            begin = np.ascontiguousarray(np.pad(initial, (*margin, (0, 0)), mode="edge"))
            flow = self._continued.calc(padded[0], padded[1], begin)
        return np.ascontiguousarray(flow[:h, :w], np.float32)
