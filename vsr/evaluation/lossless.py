"""Finds outputs that lost quality in their own encoding, which no figure should be blamed for."""

import re

from vsr.video.images import list_images
from vsr.video.pixels import chroma_of, is_gray, is_rgb
from vsr.video.probe import VideoInfo

_LOSSLESS = ("ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "png", "apng", "qtrle", "v210")
_LOSSLESS_PICTURES = (".png", ".bmp", ".tif", ".tiff")
_HEAD_BYTES = 1 << 20
_X264_LOSSLESS = re.compile(rb"x264 - core.{0,2000}?\brc=cqp[^\0]{0,200}?\bqp=0", re.DOTALL)


def loss_of(info: VideoInfo) -> str | None:
    """Return what the file has lost by its encoding; None for a lossless one."""
    if info.is_image_folder:
        kinds = {path.suffix.lower() for path in list_images(info.path)}
        lossy = sorted(kinds - set(_LOSSLESS_PICTURES))
        return f"its pictures may be lossy ({', '.join(lossy)})" if lossy else None
    if info.codec not in _LOSSLESS and not _is_lossless_x264(info):
        return f"it is encoded by {info.codec}, which is lossy"
    has_chroma = not (is_rgb(info.pix_fmt) or is_gray(info.pix_fmt))
    if has_chroma and chroma_of(info.pix_fmt) != (1, 1):
        return f"its colours have fewer pixels than its luma ({info.pix_fmt})"
    return None


def _is_lossless_x264(info: VideoInfo) -> bool:
    """True if x264 wrote in its settings that it quantised nothing."""
    if info.codec != "h264":
        return False
    with info.path.open("rb") as file:
        return _X264_LOSSLESS.search(file.read(_HEAD_BYTES)) is not None
