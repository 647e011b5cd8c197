"""Frames through a real encoder and back, in memory: what compression does to training pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

import av
import numpy as np
from av.codec.context import CodecContext
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from vsr.errors import ConfigError
from vsr.runtime.scheduling import ordinary_threads
from vsr.video.color import LIMITED, MATRIX_BT601, ColorTags, frame_from_rgb, rgb_from_frame
from vsr.video.pixels import as_uint8
from vsr.video.siting import LEFT, assume_siting
from vsr.video.writing.encoders import STEADY_X264


@dataclass(frozen=True, slots=True)
class _Codec:
    """An encoder, its decoder, the smallest side it takes, and defaults that make it start fast."""

    encoder: str
    decoder: str
    min_side: int
    defaults: Mapping[str, str]


# The lookahead of x265 on frames below 48 pixels, and that of x264 in AVX-512, read memory that
# nobody wrote: the same frames came back in up to six versions.
_STEADY_SIDE = 48
_X264_STEADY = "".join(f":{parameters}" for parameters in STEADY_X264.values())
_AV1_STEADY = "lp=1:pred-struct=1:lookahead=0"
_X265_QUIET = "log-level=error:pools=none:frame-threads=1:wpp=0"
_CODECS = MappingProxyType(
    {
        "h264": _Codec(
            "libx264",
            "h264",
            16,
            {
                "preset": "veryfast",
                "bf": "0",
                "rc-lookahead": "0",
                "x264-params": f"mbtree=0{_X264_STEADY}",
            },
        ),
        "hevc": _Codec(
            "libx265",
            "hevc",
            _STEADY_SIDE,
            {"preset": "ultrafast", "x265-params": f"{_X265_QUIET}:bframes=0:rc-lookahead=1"},
        ),
        "mpeg4": _Codec("mpeg4", "mpeg4", 16, {}),
        "mpeg2video": _Codec("mpeg2video", "mpeg2video", 16, {}),
        "vp9": _Codec(
            "libvpx-vp9", "vp9", 16, {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
        ),
        "av1": _Codec("libsvtav1", "libdav1d", 64, {"preset": "10", "svtav1-params": _AV1_STEADY}),
    }
)
_TAGS = ColorTags(matrix=MATRIX_BT601, range=LIMITED)


def codec_names() -> tuple[str, ...]:
    """The names that `recompress` takes as `codec`."""
    return tuple(_CODECS)


def recompress(
    frames: NDArray[np.uint8],
    *,
    codec: str,
    options: Mapping[str, object],
    rate: int | Fraction = 25,
) -> NDArray[np.uint8]:
    """The frames (RGB, `t h w 3`) as they look after `codec`, as many and as large as before.

    They are encoded as yuv420p, left-sited, BT.601 limited range, on one thread: the result depends
    on nothing but the arguments. `options` are the encoder's own (`crf`, `b` in bit/s, `preset`,
    `bf`, `qmin`, ...) and win over defaults that avoid B-frames and lookahead; `qscale` (1 best to
    31) is the fixed quantiser of mpeg4 and mpeg2video. Raises ConfigError for a codec, an option or
    a value that does not exist.
    """
    if codec not in _CODECS:
        raise ConfigError(f"unknown {codec = }; allowed: {', '.join(_CODECS)}")
    spec = _CODECS[codec]
    count, height, width = frames.shape[:3]
    if count == 0:
        return frames.copy()
    padded = _pad_to_even(frames, spec.min_side)
    packets, extradata = _encode(padded, spec, options, Fraction(rate))
    decoded = _decode(packets, extradata, spec)
    if len(decoded) != count:
        raise ConfigError(
            f"{codec} with {dict(options)} gave back {len(decoded)} of {count} frames: "
            "use options that drop none"
        )
    return np.stack([picture[:height, :width] for picture in decoded])


def _pad_to_even(frames: NDArray[np.uint8], min_side: int) -> NDArray[np.uint8]:
    height, width = frames.shape[1:3]
    right = max(min_side, width + width % 2) - width
    below = max(min_side, height + height % 2) - height
    if right == 0 and below == 0:
        return frames
    return np.pad(frames, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge")


def _encode(
    frames: NDArray[np.uint8], spec: _Codec, options: Mapping[str, object], rate: Fraction
) -> tuple[list[Packet], bytes | None]:
    encoder = _video_context(spec.encoder, "w")
    encoder.height, encoder.width = frames.shape[1:3]
    encoder.pix_fmt = "yuv420p"
    encoder.framerate = rate
    encoder.time_base = 1 / rate
    encoder.thread_count = 1
    given = {name: str(value) for name, value in options.items()}
    quantiser = given.pop("qscale", None)
    _check_options(encoder, given)
    if quantiser is not None:
        given |= {"qmin": quantiser, "qmax": quantiser}
    encoder.options = {**spec.defaults, **_joined_parameters(spec, given)}
    packets: list[Packet] = []
    try:
        with ordinary_threads():
            encoder.open()
        for number, pixels in enumerate(frames):
            frame = frame_from_rgb(pixels, "yuv420p", _TAGS, siting=LEFT, threads=1)
            frame.pts = number
            frame.time_base = 1 / rate
            packets += encoder.encode(frame)
        packets += encoder.encode(None)
    except (av.FFmpegError, ValueError) as error:
        raise ConfigError(f"{spec.encoder} refuses {given}: {error}") from error
    return packets, encoder.extradata


def _joined_parameters(spec: _Codec, given: Mapping[str, str]) -> dict[str, str]:
    """The options, with the encoder's own parameters after the defaults', not in their place."""
    joined = dict(given)
    for name in (
        {"x264-params", "x265-params", "svtav1-params"} & given.keys() & spec.defaults.keys()
    ):
        joined[name] = f"{spec.defaults[name]}:{given[name]}"
    return joined


def _check_options(encoder: VideoCodecContext, options: Mapping[str, str]) -> None:
    supported = encoder.supported_options
    known = {option.name for option in (*supported.generic, *supported.private)}
    unknown = sorted(set(options) - known)
    if unknown:
        raise ConfigError(f"{encoder.name} has no option {', '.join(unknown)}")


def _decode(
    packets: Sequence[Packet], extradata: bytes | None, spec: _Codec
) -> list[NDArray[np.uint8]]:
    decoder = _video_context(spec.decoder, "r")
    decoder.thread_count = 1
    assume_siting(decoder, LEFT)
    if extradata:
        decoder.extradata = extradata
    pictures = [frame for packet in packets for frame in decoder.decode(packet)]
    pictures += decoder.decode(None)
    return [as_uint8(rgb_from_frame(picture, _TAGS, threads=1)) for picture in pictures]


def _video_context(name: str, mode: Literal["r", "w"]) -> VideoCodecContext:
    context = CodecContext.create(name, mode)
    assert isinstance(context, VideoCodecContext)
    return context
