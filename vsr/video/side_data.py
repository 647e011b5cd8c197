"""What decoded frames carry beside their pixels, as bytes by FFmpeg's names."""

import logging
from collections.abc import Mapping
from typing import Any

from av.video.frame import VideoFrame

_log = logging.getLogger(__name__)


def side_data_of(frame: VideoFrame) -> Mapping[str, bytes]:
    """The frame's side data by kind, such as `DISPLAYMATRIX`.

    Empty where PyAV gives none because it does not know one of the kinds (EXIF and view numbers are
    newer than it).
    """
    try:
        found: Any = frame.side_data
    except ValueError as error:
        _log.debug("side data of a frame is not known to PyAV: %s", error)
        return {}
    return {data.type.name: bytes(data) for data in found}
