"""Colour tags of a video, and the conversion between its pixel format and RGB that they ask for."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from vsr.video.pixels import Pixels, depth_of, is_float, is_gray, is_rgb
from vsr.video.planes import LumaEquations, luma_codes, planes_from_rgb, rgb_from_planes
from vsr.video.siting import SWS_FLAGS, sited

UNSPECIFIED = 2
"""The number of an unspecified matrix, primaries or transfer (ITU-T H.273)."""
LIMITED, FULL = 1, 2
"""The numbers of a range, as FFmpeg has them; 0 is unspecified."""
MATRIX_RGB, MATRIX_BT709, MATRIX_BT601 = 0, 1, 6
TRANSFER_SRGB = 13

PRIMARIES_NAMES = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    10: "smpte428",
    11: "smpte431",
    12: "smpte432",
    22: "ebu3213",
}
TRANSFER_NAMES = {
    1: "bt709",
    4: "gamma22",
    5: "gamma28",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    9: "log100",
    10: "log316",
    11: "iec61966-2-4",
    12: "bt1361e",
    13: "srgb",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "pq",
    17: "smpte428",
    18: "hlg",
}
MATRIX_NAMES = {
    0: "rgb",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
}
RANGE_NAMES = {1: "limited", 2: "full"}

_SWS_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
_LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""Shares of red and blue in luma, by matrix (ITU-T H.273, table 4)."""
_WIDE_GAMUT_PRIMARIES = (9, 11, 12)


@dataclass(frozen=True, slots=True)
class ColorTags:
    """A stream's colour tags, as numbers of ITU-T H.273 (the range as a number of FFmpeg)."""

    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED
    range: int = 0

    def __str__(self) -> str:
        names = (
            ("primaries", PRIMARIES_NAMES, self.primaries),
            ("transfer", TRANSFER_NAMES, self.transfer),
            ("matrix", MATRIX_NAMES, self.matrix),
            ("range", RANGE_NAMES, self.range),
        )
        return ", ".join(
            f"{what} {table.get(value, 'unspecified')}" for what, table, value in names
        )

    def resolved(self, height: int, pix_fmt: str) -> "ColorTags":
        """These tags with a matrix and a range in any case.

        A missing matrix is BT.601 below 720 lines and BT.709 from there on or where the primaries
        are of a wide gamut; a missing range is full for the `yuvj` formats and for gray, and
        limited otherwise. Numbers of floating point are linear light, which is read as sRGB.
        """
        if is_float(pix_fmt):
            return replace(self, transfer=TRANSFER_SRGB, matrix=MATRIX_RGB, range=FULL)
        if is_rgb(pix_fmt):
            return replace(self, matrix=MATRIX_RGB, range=FULL)
        matrix = self.matrix
        if matrix not in _SWS_MATRICES:
            large = height >= 720 or self.primaries in _WIDE_GAMUT_PRIMARIES
            matrix = MATRIX_BT709 if large else MATRIX_BT601
        color_range = self.range
        if color_range not in (LIMITED, FULL):
            color_range = FULL if pix_fmt.startswith("yuvj") or is_gray(pix_fmt) else LIMITED
        return replace(self, matrix=matrix, range=color_range)


def rgb_from_frame(frame: VideoFrame, tags: ColorTags, *, threads: int = 0) -> Pixels:
    """The pixels of a decoded frame as RGB `h w 3`, by the matrix and range of `tags` (resolved).

    They are uint8 for a format of 8 bits and uint16 (white is 65535) for a deeper one. The frame's
    own chroma siting counts, and the centre if it has none. `threads` is the number of swscale's
    threads; 0 lets it choose.
    """
    name = frame.format.name
    if is_float(name):
        linear = frame.reformat(format="gbrpf32le", threads=threads).to_ndarray()
        return srgb_from_linear(np.asarray(linear, np.float32))
    deep = depth_of(name) > 8
    if tags.matrix == MATRIX_RGB:
        return _scaled_to_rgb(frame, tags, threads)
    if deep or is_gray(name):
        rgb = rgb_from_planes(frame, _equations(tags), threads=threads)
    else:
        rgb = _scaled_to_rgb(frame, tags, threads)
    _blacken_bars(rgb, frame, black=0 if tags.range == FULL else 16)
    return rgb


def _scaled_to_rgb(frame: VideoFrame, tags: ColorTags, threads: int) -> Pixels:
    deep = depth_of(frame.format.name) > 8
    options: dict[str, Any] = {}
    if tags.matrix != MATRIX_RGB:
        options["src_colorspace"] = _SWS_MATRICES[tags.matrix]
        options["src_color_range"] = ColorRange(tags.range)
    rgb = frame.reformat(
        format="rgb48le" if deep else "rgb24",
        dst_color_range=ColorRange.JPEG,
        interpolation=SWS_FLAGS,
        threads=threads,
        **options,
    )
    return np.asarray(rgb.to_ndarray(), dtype=np.uint16 if deep else np.uint8)


def _blacken_bars(rgb: Pixels, frame: VideoFrame, *, black: int) -> None:
    """Make rows and columns black whose luma is black from end to end: `black` in 8 bits.

    Chroma is shared with neighbours, so those at the edge of a black bar would get their tint.
    """
    luma = luma_codes(frame)
    if luma is not None:
        code = black << (depth_of(frame.format.name) - 8)
        rgb[luma.max(axis=1) <= code] = 0
        rgb[:, luma.max(axis=0) <= code] = 0


def frame_from_rgb(
    pixels: Pixels,
    pix_fmt: str,
    tags: ColorTags,
    *,
    siting: str | None = None,
    threads: int = 0,
) -> VideoFrame:
    """A frame of the given pixel format, with its tags, from RGB `h w 3`: the inverse of
    `rgb_from_frame`. Its chroma has the `siting`, one of FFmpeg's names; None: the centre.
    """
    full = tags.matrix != MATRIX_RGB and tags.range == FULL
    # swscale knows RGB of 8 bits alone, and truncates the chroma of full range, which tints.
    if full or pixels.dtype == np.uint16 or depth_of(pix_fmt) > 8:
        frame = planes_from_rgb(pixels, pix_fmt, _equations(tags), siting=siting, threads=threads)
    else:
        rgb = VideoFrame.from_ndarray(np.ascontiguousarray(pixels, np.uint8), format="rgb24")
        frame = _scaled_from_rgb(sited(rgb, siting), pix_fmt, tags, threads)
    frame.color_primaries, frame.color_trc = tags.primaries, tags.transfer  # ProRes writes these
    frame.colorspace, frame.color_range = tags.matrix, tags.range
    return frame


def tags_of(frame: VideoFrame) -> ColorTags:
    """The colour tags of a decoded frame."""
    return ColorTags(
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        matrix=int(frame.colorspace),
        range=int(frame.color_range),
    )


def luma_weights(tags: ColorTags) -> tuple[float, float]:
    """Return the shares of red and blue in luma; without a matrix those of ITU-R BT.709."""
    return _LUMA_WEIGHTS.get(tags.matrix, _LUMA_WEIGHTS[MATRIX_BT709])


def srgb_from_linear(light: NDArray[np.float32]) -> Pixels:
    """Linear light, of which 1 is white, as sRGB of 16 bits (IEC 61966-2-1); the rest is cut."""
    light = np.nan_to_num(light).clip(0, 1)
    power = 1.055 * light ** (1 / 2.4) - 0.055
    codes = np.where(light <= 0.0031308, 12.92 * light, power)
    return np.rint(65535 * codes).astype(np.uint16)


def linear_from_srgb(pixels: Pixels) -> NDArray[np.float32]:
    """The inverse of `srgb_from_linear`, for sRGB of 8 or 16 bits."""
    codes = pixels / np.float32(np.iinfo(pixels.dtype).max)
    power = ((codes + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.where(codes <= 0.04045, codes / np.float32(12.92), power).astype(np.float32)


def _scaled_from_rgb(rgb: VideoFrame, pix_fmt: str, tags: ColorTags, threads: int) -> VideoFrame:
    options: dict[str, Any] = {}
    if tags.matrix != MATRIX_RGB:
        options["dst_colorspace"] = _SWS_MATRICES[tags.matrix]
    return rgb.reformat(
        format=pix_fmt,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange(tags.range),
        interpolation=SWS_FLAGS,
        threads=threads,
        **options,
    )


def _equations(tags: ColorTags) -> LumaEquations:
    red, blue = luma_weights(tags)
    return LumaEquations(red, blue, full=tags.range == FULL)
