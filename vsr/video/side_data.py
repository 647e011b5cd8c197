"""Side data of decoded frames: everything that a frame carries beside its pixels."""

import logging
from collections.abc import Mapping
from typing import Any

import av
from av.filter import Graph
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame

_log = logging.getLogger(__name__)

_CONTAINER: Any = SideDataContainer
"""Its type stubs leave out the constructor's argument."""
_PROFILE = "ICC_PROFILE"


def side_data_of(frame: VideoFrame) -> Mapping[str, bytes]:
    """The frame's side data by FFmpeg's name of the kind, such as `DISPLAYMATRIX`.

    A colour profile is never among them: see `has_color_profile`. Empty if a frame has a kind that
    PyAV does not know (EXIF and view numbers are newer than it).
    """
    safe = _filtered(frame, "delete")
    assert safe is not None
    try:
        # Not `frame.side_data`: with that the frame and its side data refer to each other, and
        # frames would fill the memory until the garbage collector runs.
        found: Any = _CONTAINER(safe)
    except ValueError as error:
        _log.debug("side data of a frame is not known to PyAV: %s", error)
        return {}
    return {data.type.name: bytes(data) for data in found}


def has_color_profile(frame: VideoFrame) -> bool:
    """True if an ICC profile is attached to the frame."""
    return _filtered(frame, "select") is not None


def _filtered(frame: VideoFrame, mode: str) -> VideoFrame | None:
    """The frame with its colour profile deleted (`delete`), or only if it has one (`select`).

    PyAV frees the metadata of side data that it wraps, and the frame frees them again: a crash.
    FFmpeg's PNG decoder is the one that writes such metadata, the name of the profile. FFmpeg's
    filter touches the profile without PyAV.
    """
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=frame.time_base,
    )
    chosen = graph.add("sidedata", f"mode={mode}:type={_PROFILE}")
    sink = graph.add("buffersink")
    graph.link_nodes(source, chosen, sink)
    graph.configure()
    source.push(frame)
    try:
        found: Any = sink.pull()
    except (av.BlockingIOError, av.EOFError):
        return None
    return found
