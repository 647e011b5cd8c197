"""Colour tags of a video, and the conversion between its pixel format and RGB that they ask for."""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray

UNSPECIFIED = 2
"""The number of an unspecified matrix, primaries or transfer (ITU-T H.273)."""
LIMITED, FULL = 1, 2
"""The numbers of a range, as FFmpeg has them; 0 is unspecified."""
MATRIX_RGB, MATRIX_BT709, MATRIX_BT601 = 0, 1, 6

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
_SWS_FLAGS = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.BITEXACT
)


@dataclass(frozen=True, slots=True)
class ColorTags:
    """What a stream says about its colours, as numbers of ITU-T H.273 (range: as FFmpeg's)."""

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
        are of a wide gamut; a missing range is full for the `yuvj` formats and limited otherwise.
        """
        if is_rgb(pix_fmt):
            return replace(self, matrix=MATRIX_RGB, range=FULL)
        matrix = self.matrix
        if matrix not in _SWS_MATRICES:
            large = height >= 720 or self.primaries in _WIDE_GAMUT_PRIMARIES
            matrix = MATRIX_BT709 if large else MATRIX_BT601
        color_range = self.range
        if color_range not in (LIMITED, FULL):
            color_range = FULL if pix_fmt.startswith("yuvj") else LIMITED
        return replace(self, matrix=matrix, range=color_range)


def is_rgb(pix_fmt: str) -> bool:
    """Whether a pixel format holds RGB (or a palette of it), not luma and chroma."""
    return pix_fmt.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "x2"))


def rgb_from_frame(frame: VideoFrame, tags: ColorTags, *, threads: int = 0) -> NDArray[np.uint8]:
    """The pixels of a decoded frame as RGB `h w 3`, by the matrix and range of `tags` (resolved).

    `threads` is the number of swscale's threads; 0 lets it choose.
    """
    options: dict[str, Any] = {}
    if tags.matrix != MATRIX_RGB:
        options["src_colorspace"] = _SWS_MATRICES[tags.matrix]
        options["src_color_range"] = ColorRange(tags.range)
    rgb = frame.reformat(
        format="rgb24",
        dst_color_range=ColorRange.JPEG,
        interpolation=_SWS_FLAGS,
        threads=threads,
        **options,
    )
    return np.asarray(rgb.to_ndarray(), dtype=np.uint8)


def frame_from_rgb(
    pixels: NDArray[np.uint8], pix_fmt: str, tags: ColorTags, *, threads: int = 0
) -> VideoFrame:
    """A frame of the given pixel format from RGB `h w 3`: the inverse of `rgb_from_frame`."""
    options: dict[str, Any] = {}
    if tags.matrix != MATRIX_RGB:
        options["dst_colorspace"] = _SWS_MATRICES[tags.matrix]
    if tags.matrix != MATRIX_RGB and tags.range == FULL:
        # swscale truncates the chroma of full range, which tints by half a level.
        frame = VideoFrame.from_ndarray(_full_range_planes(pixels, tags.matrix), format="yuv444p")
        options["src_colorspace"] = options["dst_colorspace"]
    else:
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    return frame.reformat(
        format=pix_fmt,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange(tags.range),
        interpolation=_SWS_FLAGS,
        threads=threads,
        **options,
    )


def _full_range_planes(pixels: NDArray[np.uint8], matrix: int) -> NDArray[np.uint8]:
    """Y, Cb and Cr as `3 h w`, 0 to 255, rounded to the nearest."""
    red, blue = _LUMA_WEIGHTS[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    cb = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    cr = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    transform = np.stack([luma, cb, cr])
    offset = np.array([[0], [128], [128]])
    planes = cv2.transform(pixels, np.hstack([transform, offset]))
    return np.ascontiguousarray(np.moveaxis(np.asarray(planes, dtype=np.uint8), -1, 0))
