"""From what one clip takes to what the whole film takes: seconds, memory, disk; no torch."""

import os
from dataclasses import dataclass
from math import ceil

from vsr.upscaling.sizes import Size
from vsr.video.writing.encoding import Encoding
from vsr.video.writing.parts import PART_FRAMES

_ENCODER_BYTES = {"x264": 290, "x265": 270, "av1": 420, "prores": 50, "ffv1": 50}
"""What an encoder holds for each pixel of the output: measured at 720x576 and 1280x720."""
_ENCODER_FRAMES = 50
"""So many frames an encoder looks ahead and works at: with fewer it holds less."""
_SCATTERED = 1.08
"""What the allocator holds for clips, above what they take: holes that nothing fits in. Fitted to
the embedded model at six sizes from 64x48 to 640x360, where it is between 0.9 and 1.3."""
_WAITING_BYTES = 1 << 30
"""Pictures that wait on the disk until their part is closed; those of a part, if they are less."""


@dataclass(frozen=True, slots=True)
class Line:
    """What grows with the pixels of a frame: `fixed + per_pixel * pixels`."""

    fixed: float
    per_pixel: float

    @classmethod
    def through(cls, small: tuple[float, float], large: tuple[float, float]) -> "Line":
        """The line through two points (pixels, value); it neither falls nor begins below 0."""
        (x0, y0), (x1, y1) = small, large
        slope = (y1 - y0) / (x1 - x0) if x1 > x0 else 0.0
        if slope <= 0 or y1 - slope * x1 < 0:
            return cls(0.0, y1 / x1)
        return cls(y1 - slope * x1, slope)

    def at(self, pixels: float) -> float:
        """The value for frames of so many pixels."""
        return self.fixed + self.per_pixel * pixels


@dataclass(frozen=True, slots=True)
class Need:
    """Memory at its peak, in bytes: what is always there, and what a clip takes."""

    resting: float
    clip: float


@dataclass(frozen=True, slots=True)
class Rates:
    """What frames of the whole size take, in seconds and bytes."""

    clip_seconds: float
    """For a clip of `clip_frames`, by the networks and all around them."""
    clip_frames: int
    encode_seconds: float
    """For a frame, on one processor."""
    key_bytes: float
    """Of an encoded frame that stands by itself."""
    other_bytes: float
    """Of one that refers to others."""
    host: Need
    """Of the process, without the encoder and the clips that wait."""
    device: Need | None
    """Of the accelerator; None on a CPU."""
    threads: int
    """Processors that a clip keeps busy: 0 where an accelerator computes."""


@dataclass(frozen=True, slots=True)
class Film:
    """What is to be made: the size of its large frames, how many there are, and how encoded."""

    source: Size
    size: Size
    frames: int
    shots: int
    encoding: Encoding | None
    """None: as PNG pictures."""
    sample_bytes: int
    """Of one colour of one pixel: 1, or 2 where the source is deeper than 8 bits."""
    read_seconds: float
    """Of one processor, to read a frame and look for cuts."""
    other_bytes: float
    """Of the streams that are copied."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run takes; `least_*`: with clips of one frame, the smallest that there are."""

    seconds: float
    """Without those of loading the model."""
    host_bytes: int
    least_host_bytes: int
    device_bytes: int | None
    least_device_bytes: int | None
    output_bytes: int
    disk_bytes: int
    """At most, while the output is made: its parts, the output itself, and pictures that wait."""


def forecast(rates: Rates, film: Film, *, processors: int) -> Forecast:
    """What a run takes, by what one of its longest clips takes."""
    waiting, count = _waiting_bytes(rates, film), rates.clip_frames
    output = _video_bytes(rates, film) + film.other_bytes
    raw = 3 * film.sample_bytes * _pixels(film.size)
    held = min(_WAITING_BYTES, min(film.frames, PART_FRAMES) * raw) if _refers(film) else 0
    host, device = rates.host, rates.device
    clip = _SCATTERED * host.clip + waiting
    return Forecast(
        seconds=_seconds(rates, film, processors),
        host_bytes=round(host.resting + clip),
        least_host_bytes=round(host.resting + clip / count),
        device_bytes=None if device is None else round(device.resting + device.clip),
        least_device_bytes=None if device is None else round(device.resting + device.clip / count),
        output_bytes=round(output),
        disk_bytes=round(2 * output + held),
    )


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _seconds(rates: Rates, film: Film, processors: int) -> float:
    """Reading and encoding go on beside the networks, as far as there are processors for it."""
    clips = rates.clip_seconds * film.frames / rates.clip_frames
    beside = film.frames * (film.read_seconds + rates.encode_seconds)
    return max(clips, (clips * rates.threads + beside) / processors)


def _waiting_bytes(rates: Rates, film: Film) -> float:
    """What is in memory beside the clip that is made: two read ahead, one written, the encoder."""
    color = 3 * film.sample_bytes * rates.clip_frames
    encoder = 0.0 if film.encoding is None else _ENCODER_BYTES[film.encoding.codec]
    encoder *= min(1.0, film.frames / _ENCODER_FRAMES)
    return 2 * color * _pixels(film.source) + (color + encoder) * _pixels(film.size)


def _video_bytes(rates: Rates, film: Film) -> float:
    """Each part of a shot begins with a frame that stands by itself."""
    keys = film.frames
    if _refers(film):
        keys = min(film.frames, film.shots + ceil(film.frames / PART_FRAMES))
    return keys * rates.key_bytes + (film.frames - keys) * rates.other_bytes


def _refers(film: Film) -> bool:
    """Whether encoded frames refer to others."""
    return film.encoding is not None and not film.encoding.is_intra


def _pixels(size: Size) -> int:
    return size.height * size.width
