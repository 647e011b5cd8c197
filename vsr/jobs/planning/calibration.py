"""Time and memory of a clip on this machine, measured on small pieces of the source."""

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction

import psutil
import torch

from vsr.config import UpscaleConfig
from vsr.jobs.planning.forecast import Line, Need, Rates, Workload
from vsr.runtime.timing import NullTimer
from vsr.upscaling.clip_upscaler import UpscaledClip, Upscaler
from vsr.upscaling.load import load_upscaler
from vsr.upscaling.same_size import SameSize
from vsr.upscaling.sizes import Size
from vsr.video.pixels import Pixels
from vsr.video.reading.clips import Clip
from vsr.video.reading.reader import Frame
from vsr.video.writing.encoding import Encoding
from vsr.video.writing.parts import Part, part_encoder

_SECONDS = 4.0
"""Time for the larger of the two pieces, which is upscaled twice."""
_FIRST_AREA = 32 * 48
_LARGEST_STEP = 40
"""The second piece is at most this many times as large as the first: its estimate is rough."""
_WARM_UP_FRAMES = 2
_WATCH_SECONDS = 0.002


def calibrate(
    frames: Sequence[Pixels],
    config: UpscaleConfig,
    workload: Workload,
    *,
    ahead: Sequence[Pixels] = (),
) -> Rates:
    """Measure the time and memory of a clip of computed `frames`, the longest of the run.

    `ahead` are the frames after it, for a model that looks at them.

    Two pieces cut from their middle are made larger by the networks, and the cost of whole frames
    lies on the line through them. The larger takes about four seconds; it is the whole frames where
    that is enough. Each is made twice, since new memory costs time once: by a seventh, measured.
    """
    upscaler = load_upscaler(replace(config, reduce="off"), workload.size, NullTimer())
    device = upscaler.device
    measure = _Measure(upscaler, workload, len(frames))
    seen = [*frames, *ahead]
    small = _cut(seen, _FIRST_AREA)
    measure(small[:_WARM_UP_FRAMES])
    base = psutil.Process().memory_info().rss
    resting = torch.cuda.memory_reserved(device) if device.type == "cuda" else 0
    first = measure(small)
    area = min(_SECONDS / first.seconds, _LARGEST_STEP) * _area(small)
    large = _cut(seen, area)
    second = measure(large) if _area(large) > _area(small) else first
    pixels = _area(frames)
    points = _area(small), _area(large)

    def at_whole(value: Callable[[_Sample], float]) -> float:
        return Line.through((points[0], value(first)), (points[1], value(second))).at(pixels)

    part, encode_seconds = _encoded(second.clip, workload.encoding)
    scale = pixels / points[1]
    keys = [len(frame.data) for frame in part.frames if frame.is_keyframe]
    others = [len(frame.data) for frame in part.frames if not frame.is_keyframe]
    key_bytes = scale * sum(keys) / len(keys)
    on_device = None
    if second.device_bytes is not None:
        on_device = Need(resting, at_whole(lambda sample: (sample.device_bytes or 0) - resting))
    return Rates(
        clip_seconds=at_whole(lambda sample: sample.seconds),
        clip_frames=len(frames),
        encode_seconds=scale * encode_seconds / len(frames),
        key_bytes=key_bytes,
        other_bytes=scale * sum(others) / len(others) if others else key_bytes,
        host=Need(base, at_whole(lambda sample: sample.host_bytes - base)),
        device=on_device,
        key_seconds=at_whole(lambda sample: sample.key_seconds),
        threads=torch.get_num_threads() if device.type == "cpu" else 0,
    )


@dataclass(frozen=True, slots=True)
class _Sample:
    seconds: float
    host_bytes: float
    device_bytes: float | None
    clip: UpscaledClip
    key_seconds: float
    """Of drawing a whole frame for its texture."""


@dataclass(frozen=True, slots=True)
class _Measure:
    """Upscales the first `count` frames, with those after them ahead; measures time and memory."""

    upscaler: Upscaler | SameSize
    workload: Workload
    count: int

    def __call__(self, frames: Sequence[Pixels]) -> _Sample:
        part, whole, large = _size(frames), self.workload.computed, self.workload.enlarged
        self.upscaler.size = Size(
            max(1, round(part.height * large.height / whole.height)),
            max(1, round(part.width * large.width / whole.width)),
        )
        seen = tuple(Frame(pixels, i, Fraction(1)) for i, pixels in enumerate(frames))
        clip = Clip(
            seen[: self.count],
            first_frame_index=0,
            starts_shot=True,
            ahead=seen[self.count :],
        )
        device = self.upscaler.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with _peak_memory() as peak:
            self.upscaler(clip)
        began = time.perf_counter()
        made = self.upscaler(clip)
        seconds = time.perf_counter() - began
        seconds, key_seconds = self._without_keys(clip, seconds)
        on_device = torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None
        return _Sample(seconds, peak[0], on_device, made, key_seconds)

    def _without_keys(self, clip: Clip, seconds: float) -> tuple[float, float]:
        """Return the seconds of a clip that goes on with the keys it has, and those of a key."""
        texture = self.upscaler.texture
        if texture is None:
            return seconds, 0.0
        drawn, began = texture.drawn, time.perf_counter()
        self.upscaler(replace(clip, starts_shot=False))
        without, more = time.perf_counter() - began, texture.drawn - drawn
        if more >= 1:
            return seconds, 0.0
        return without, max(0.0, seconds - without) / (1 - more)


@contextmanager
def _peak_memory() -> Generator[list[int]]:
    """Give a list whose only item is, at the end, the peak memory of the process in the context."""
    process = psutil.Process()
    peak = [process.memory_info().rss]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_WATCH_SECONDS):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def _encoded(clip: UpscaledClip, encoding: Encoding | None) -> tuple[Part, float]:
    """Return the clip as a part, and the processor time of encoding it."""
    height, width = clip.pixels.shape[1:3]
    # Encoders refuse odd and tiny pictures where chroma is halved: a margin is lost.
    height, width = height - height % 2, width - width % 2
    if encoding is not None:
        encoding = replace(encoding, height=height, width=width)
    began = time.process_time()
    encoder = part_encoder(encoding)
    step = 1 if encoding is None else encoding.frame_duration
    for i, pixels in enumerate(clip.pixels):
        encoder.write(pixels[:height, :width], i * step)
    return encoder.finish(), time.process_time() - began


def _cut(frames: Sequence[Pixels], area: float) -> list[Pixels]:
    """Return the middle of the frames: about `area` pixels, in their aspect ratio."""
    whole = _size(frames)
    share = min(1.0, (area / _area(frames)) ** 0.5)
    height, width = (
        min(side, max(_multiple(share * side), 16)) for side in (whole.height, whole.width)
    )
    top, left = (whole.height - height) // 2, (whole.width - width) // 2
    return [pixels[top : top + height, left : left + width] for pixels in frames]


def _multiple(side: float) -> int:
    return 8 * round(side / 8)


def _size(frames: Sequence[Pixels]) -> Size:
    return Size(*frames[0].shape[:2])


def _area(frames: Sequence[Pixels]) -> int:
    size = _size(frames)
    return size.height * size.width
