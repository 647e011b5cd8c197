"""Sources whose codec has taken nothing away."""

from av.codec.codec import Codec, UnknownCodecError

from vsr.video.probe import VideoInfo

_FEWEST_BITS = 2.0
"""Bits for each pixel that no encoding for viewers has: x264 at crf 18 has 0.1 to 0.6."""


def is_lossless(info: VideoInfo) -> bool:
    """Return True if the codec keeps every pixel, or the file has bits enough for all of them."""
    try:
        codec = Codec(info.codec, "r")
    except UnknownCodecError:
        return False
    if codec.lossless and not codec.lossy:
        return True
    if not info.frame_count or not info.path.is_file():
        return False
    pixels = info.frame_count * info.width * info.height
    return 8 * info.path.stat().st_size >= _FEWEST_BITS * pixels
