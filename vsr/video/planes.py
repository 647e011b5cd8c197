"""Between RGB and the planes of deep pixel formats, in floats: swscale rounds these to 8 bits."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from vsr.video.pixels import Pixels, depth_of, is_gray, is_rgb
from vsr.video.siting import SWS_FLAGS, sited

_SHIFTED = {"src_color_range": ColorRange.MPEG, "dst_color_range": ColorRange.MPEG}
"""With equal limited ranges swscale moves values to another depth by a shift, exactly."""


@dataclass(frozen=True, slots=True)
class LumaEquations:
    """Shares of red and blue in luma, and whether planes use all codes (ITU-T H.273, 8.3)."""

    red: float
    blue: float
    full: bool

    def matrix(self) -> NDArray[np.float64]:
        """From RGB to luma in [0, 1] and chroma in [-0.5, 0.5]."""
        luma = np.array([self.red, 1 - self.red - self.blue, self.blue])
        cb = (np.array([0, 0, 1]) - luma) / (2 * (1 - self.blue))
        cr = (np.array([1, 0, 0]) - luma) / (2 * (1 - self.red))
        return np.stack([luma, cb, cr])

    def codes(self, depth: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scale and offset that make codes of `depth` bits of luma and chroma."""
        middle = 2.0 ** (depth - 1)
        if self.full:
            top = 2.0**depth - 1
            return np.array([top, top, top]), np.array([0, middle, middle])
        unit = 2.0 ** (depth - 8)
        return unit * np.array([219.0, 224.0, 224.0]), np.array([16 * unit, middle, middle])


def luma_codes(frame: VideoFrame) -> Pixels | None:
    """The luma of a frame as it is stored, a view of it; None if it has no plane of its own."""
    layout = frame.format
    if is_rgb(layout.name) or not layout.is_planar or layout.is_big_endian:
        return None
    luma = layout.components[0]
    plane: Any = frame.planes[0]  # its type stubs leave out that it is a buffer
    dtype = np.dtype(np.uint8 if luma.bits <= 8 else np.uint16)
    if plane.line_size < plane.width * dtype.itemsize or layout.name.startswith("p0"):
        return None
    lines = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)
    return lines[: frame.height, : frame.width]


def rgb_from_planes(frame: VideoFrame, equations: LumaEquations, *, threads: int) -> Pixels:
    """RGB `h w 3` of a frame of luma and chroma, or luma alone: uint16 where it is deep."""
    name = frame.format.name
    depth = depth_of(name)
    scale, offset = equations.codes(depth)
    if is_gray(name):
        luma = _luma(frame, threads).astype(np.float32)
        rgb = cv2.cvtColor(
            (luma - np.float32(offset[0])) / np.float32(scale[0]), cv2.COLOR_GRAY2RGB
        )
    else:
        planes = frame.reformat(
            format="yuv444p16le", interpolation=SWS_FLAGS, threads=threads, **_SHIFTED
        ).to_ndarray()
        inverse = np.linalg.inv(equations.matrix()) / scale
        transform = np.column_stack([inverse / 2 ** (16 - depth), -inverse @ offset])
        rgb = cv2.transform(planes.astype(np.float32), transform)
    return _rounded(np.asarray(rgb, np.float32), 16 if depth > 8 else 8)


def planes_from_rgb(
    pixels: Pixels,
    pix_fmt: str,
    equations: LumaEquations,
    *,
    siting: str | None,
    threads: int,
) -> VideoFrame:
    """A frame of any pixel format from RGB `h w 3`, rounded once, to the depth of the format."""
    depth = depth_of(pix_fmt)
    white = np.iinfo(pixels.dtype).max
    rgb = pixels.astype(np.float32) / white
    if is_rgb(pix_fmt):
        values = _rounded(rgb, depth)[..., [1, 2, 0]]
        whole = "gbrp" if depth == 8 else f"gbrp{depth}le"
    else:
        scale, offset = equations.codes(depth)
        transform = np.column_stack([scale[:, None] * equations.matrix(), offset])
        codes = np.rint(np.asarray(cv2.transform(rgb, transform)))
        values = codes.clip(0, 2**depth - 1).astype(np.uint8 if depth == 8 else np.uint16)
        whole = "yuv444p" if depth == 8 else f"yuv444p{depth}le"
    if is_gray(pix_fmt):
        return _frame_of_planes([values[..., 0]], pix_fmt)
    frame = _frame_of_planes(list(np.moveaxis(values, -1, 0)), whole)
    if whole == pix_fmt:
        return frame
    ranges = {} if is_rgb(pix_fmt) else _SHIFTED
    frame = sited(frame, siting)
    return frame.reformat(format=pix_fmt, interpolation=SWS_FLAGS, threads=threads, **ranges)


def _rounded(values: NDArray[np.floating[Any]], depth: int) -> Pixels:
    """[0, 1] as whole numbers of `depth` bits."""
    top = 2**depth - 1
    codes = np.rint(values * top).clip(0, top)
    return codes.astype(np.uint8 if depth == 8 else np.uint16)


def _luma(frame: VideoFrame, threads: int) -> Pixels:
    if frame.format.name.startswith("ya"):
        plain = "gray" if depth_of(frame.format.name) == 8 else "gray16le"
        frame = frame.reformat(format=plain, threads=threads)
    return np.asarray(
        frame.to_ndarray(), np.uint8 if depth_of(frame.format.name) == 8 else np.uint16
    )


def _frame_of_planes(planes: list[Pixels], pix_fmt: str) -> VideoFrame:
    height, width = planes[0].shape
    frame = VideoFrame(width, height, pix_fmt)
    for target, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((height, target.line_size // values.itemsize), values.dtype)
        rows[:, :width] = values
        target.update(rows.tobytes())
    return frame
