"""Chroma siting: the place of a chroma sample among the luma samples that share it."""

from fractions import Fraction
from typing import Any

from av.filter import Graph
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from vsr.video.pixels import chroma_of, is_gray, is_rgb

SWS_FLAGS = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.BITEXACT
)
"""The resampling of chroma wherever pixels are converted."""

LEFT, CENTER = "left", "center"
TAGGED_SITINGS = (LEFT, CENTER, "topleft", "top", "bottomleft", "bottom")
"""The sitings of H.264 and H.265 (H.273, chroma_sample_loc_type), by FFmpeg's names."""

_NAMES = {
    (0.0, 0.5): LEFT,
    (0.5, 0.5): CENTER,
    (0.0, 0.0): "topleft",
    (0.5, 0.0): "top",
    (0.0, 1.0): "bottomleft",
    (0.5, 1.0): "bottom",
}
"""Places across and down, from the first (0) to the last (1) luma sample of a chroma sample."""
_PLANAR = {
    (2, 2): "yuv420p",
    (2, 1): "yuv422p",
    (4, 1): "yuv411p",
    (4, 4): "yuv410p",
    (1, 2): "yuv440p",
}
_PROBED = 16
"""The luma column and row at which a ramp is read: far enough from the borders."""


def has_siting(pix_fmt: str) -> bool:
    """True for a pixel format with fewer chroma samples than luma samples."""
    return not is_rgb(pix_fmt) and not is_gray(pix_fmt) and chroma_of(pix_fmt) in _PLANAR


def assume_siting(decoder: VideoCodecContext, siting: str) -> None:
    """Let a decoder that has not begun give its frames a siting, where the codec says none."""
    decoder.options = {"chroma_sample_location": siting}


def sited(frame: VideoFrame, siting: str | None) -> VideoFrame:
    """The frame with a siting, which swscale honours; its pixels are shared, not copied.

    A frame without chroma of its own, such as RGB, hands the siting on to what is made of it.
    """
    return frame if siting is None else _filtered(frame, ("setparams", f"chroma_location={siting}"))


def siting_of(frame: VideoFrame) -> str:
    """The siting that swscale reads off a frame (see `has_siting`); the centre if it has none.

    PyAV does not show it. So the frame's chroma is replaced by a ramp, and its place is read from
    what swscale makes of that.
    """
    columns, rows = chroma_of(frame.format.name)
    if frame.width < columns or frame.height < rows:
        return CENTER  # one chroma sample for all
    side = 2 * _PROBED
    ramp = _filtered(
        frame.reformat(format=_PLANAR[columns, rows]),
        ("setfield", "prog"),
        ("crop", rf"min(iw\,{side}):min(ih\,{side}):0:0"),
        ("pad", f"{side}:{side}"),
        ("geq", "lum=128:cb=4*X:cr=4*Y"),
    )
    planes = ramp.reformat(format="yuv444p", interpolation=SWS_FLAGS).to_ndarray()
    across = _place(float(planes[1, _PROBED, _PROBED]), columns)
    down = _place(float(planes[2, _PROBED, _PROBED]), rows)
    return _NAMES.get((across, 0.5 if rows == 1 else down), CENTER)


def _place(value: float, step: int) -> float:
    """The place of chroma, given a ramp of 4 levels a sample as it is at `_PROBED`."""
    if step == 1:
        return 0.5
    return round(2 * (_PROBED - value * step / 4) / (step - 1)) / 2


def _filtered(frame: VideoFrame, *filters: tuple[str, str]) -> VideoFrame:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=frame.time_base or Fraction(1),
    )
    nodes = [graph.add(name, options) for name, options in filters]
    sink = graph.add("buffersink")
    graph.link_nodes(source, *nodes, sink)
    graph.configure()
    source.push(frame)
    found: Any = sink.pull()
    return found
