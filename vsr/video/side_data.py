"""What decoded frames carry beside their pixels, as bytes by FFmpeg's names."""

import logging
from collections.abc import Mapping
from typing import Any

from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame

_log = logging.getLogger(__name__)

_CONTAINER: Any = SideDataContainer  # whose types leave out what it takes


def side_data_of(frame: VideoFrame) -> Mapping[str, bytes]:
    """The frame's side data by kind, such as `DISPLAYMATRIX`.

    Empty where PyAV gives none because it does not know one of the kinds (EXIF and view numbers are
    newer than it).
    """
    try:
        # Not `frame.side_data`: with that the frame and its side data hold one another, and frames
        # would fill the memory until the garbage collector comes.
        found: Any = _CONTAINER(frame)
    except ValueError as error:
        _log.debug("side data of a frame is not known to PyAV: %s", error)
        return {}
    return {data.type.name: bytes(data) for data in found}
