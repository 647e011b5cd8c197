"""From the cost of one clip to the cost of a whole film: seconds, memory, disk; no torch."""

import os
from dataclasses import dataclass
from math import ceil

from vsr.upscaling.sizes import Size
from vsr.video.writing.encoding import Encoding
from vsr.video.writing.parts import PART_FRAMES

_ENCODER_BYTES = {"x264": 290, "x265": 270, "av1": 420, "prores": 50, "ffv1": 50}
"""Bytes that an encoder holds per pixel of the output, measured at 720x576 and 1280x720."""
_ENCODER_FRAMES = 50
"""Frames that an encoder holds at once, lookahead included; with fewer it needs less memory."""
_SCATTERED = 1.08
"""Factor of the allocator for the memory of clips, for holes that nothing fits in. Fitted to
the embedded model at six sizes from 64x48 to 640x360, where it is between 0.9 and 1.3."""
_WAITING_BYTES = 1 << 30
"""Most bytes of raw pixels that stay on the disk until their part is closed."""


@dataclass(frozen=True, slots=True)
class Line:
    """A cost that grows with the pixels of a frame: `fixed + per_pixel * pixels`."""

    fixed: float
    per_pixel: float

    @classmethod
    def through(cls, small: tuple[float, float], large: tuple[float, float]) -> "Line":
        """Return the line through two points (pixels, value), which never falls below 0."""
        (x0, y0), (x1, y1) = small, large
        slope = (y1 - y0) / (x1 - x0) if x1 > x0 else 0.0
        if slope <= 0 or y1 - slope * x1 < 0:
            return cls(0.0, y1 / x1)
        return cls(y1 - slope * x1, slope)

    def at(self, pixels: float) -> float:
        """Return the value for frames of `pixels` pixels."""
        return self.fixed + self.per_pixel * pixels


@dataclass(frozen=True, slots=True)
class Need:
    """Peak memory in bytes: always used, and used by a clip."""

    resting: float
    clip: float


@dataclass(frozen=True, slots=True)
class Rates:
    """The cost of frames of the full size, in seconds and bytes."""

    clip_seconds: float
    """Per clip of `clip_frames` frames, in the networks and all around them."""
    clip_frames: int
    encode_seconds: float
    """Per frame, on one processor."""
    key_bytes: float
    """Of an encoded keyframe."""
    other_bytes: float
    """Of any other encoded frame."""
    host: Need
    """Of the process, without the encoder and the prefetched clips."""
    device: Need | None
    """Of the accelerator; None on a CPU."""
    key_seconds: float
    """Of drawing a whole frame for its texture; 0 without texture."""
    threads: int
    """Processors that a clip keeps busy: 0 where an accelerator computes."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The frames of a run: their sizes, number and encoding."""

    source: Size
    computed: Size
    """Size of the pictures that the networks enlarge."""
    enlarged: Size
    """Size to which they are brought: that of the output, without bars."""
    size: Size
    frames: int
    shots: int
    encoding: Encoding | None
    """None means PNG."""
    sample_bytes: int
    """Per channel of a pixel: 1, or 2 if the source is deeper than 8 bits."""
    read_seconds: float
    """Processor time to decode a frame and look for cuts."""
    other_bytes: float
    """Of the streams that are copied."""
    drawn: float = 0.0
    """Frames that are drawn for their texture, parts counted."""
    repeated: float = 0.0
    """The share of frames that repeat the one before and are not computed."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The cost of a run; `least_*` are for clips of one frame, the shortest that are possible."""

    seconds: float
    """Without loading the model."""
    host_bytes: int
    least_host_bytes: int
    device_bytes: int | None
    least_device_bytes: int | None
    output_bytes: int
    disk_bytes: int
    """At most, during the run: the parts, the output itself, and raw pixels."""


def forecast(rates: Rates, workload: Workload, *, processors: int) -> Forecast:
    """Return the cost of a run from the cost of one of its longest clips."""
    waiting, count = _waiting_bytes(rates, workload), rates.clip_frames
    output = _video_bytes(rates, workload) + workload.other_bytes
    raw = 3 * workload.sample_bytes * _pixels(workload.size)
    held = min(_WAITING_BYTES, min(workload.frames, PART_FRAMES) * raw) if _refers(workload) else 0
    host, device = rates.host, rates.device
    clip = _SCATTERED * host.clip + waiting
    return Forecast(
        seconds=_seconds(rates, workload, processors),
        host_bytes=round(host.resting + clip),
        least_host_bytes=round(host.resting + clip / count),
        device_bytes=None if device is None else round(device.resting + device.clip),
        least_device_bytes=None if device is None else round(device.resting + device.clip / count),
        output_bytes=round(output),
        disk_bytes=round(2 * output + held),
    )


def processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _seconds(rates: Rates, workload: Workload, processors: int) -> float:
    """Decoding and encoding overlap with the networks as far as there are processors for it."""
    computed = (1 - workload.repeated) * workload.frames
    clips = rates.clip_seconds * computed / rates.clip_frames
    clips += rates.key_seconds * workload.drawn
    beside = workload.frames * (workload.read_seconds + rates.encode_seconds)
    return max(clips, (clips * rates.threads + beside) / processors)


def _waiting_bytes(rates: Rates, workload: Workload) -> float:
    """Memory beside the clip in the networks: two prefetched, one being written, the encoder."""
    color = 3 * workload.sample_bytes * rates.clip_frames
    encoder = 0.0 if workload.encoding is None else _ENCODER_BYTES[workload.encoding.codec]
    encoder *= min(1.0, workload.frames / _ENCODER_FRAMES)
    return 2 * color * _pixels(workload.source) + (color + encoder) * _pixels(workload.size)


def _video_bytes(rates: Rates, workload: Workload) -> float:
    """Each part of a shot begins with a keyframe."""
    keys = workload.frames
    if _refers(workload):
        keys = min(workload.frames, workload.shots + ceil(workload.frames / PART_FRAMES))
    return keys * rates.key_bytes + (workload.frames - keys) * rates.other_bytes


def _refers(workload: Workload) -> bool:
    """Return whether encoded frames refer to others."""
    return workload.encoding is not None and not workload.encoding.is_intra


def _pixels(size: Size) -> int:
    return size.height * size.width
