"""What a run would do and take, said before it begins; what cannot work is refused at once."""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from vsr.checkpoints.find import native_scale
from vsr.config import UpscaleConfig
from vsr.errors import DeviceError, InputError, OutputError, VsrError
from vsr.jobs.planning.forecast import Film, Forecast, forecast, processors
from vsr.jobs.target import default_output, encoder_settings
from vsr.jobs.worker import source_reader
from vsr.upscaling.sizes import Size, clip_length, output_size
from vsr.video.probe import VideoInfo, probe
from vsr.video.reading.clips import Clip, clips
from vsr.video.reading.shots import ShotDetector
from vsr.video.writing.output_file import check_output, encoding_of
from vsr.video.writing.stream_fates import StreamFate, stream_fates

_SCAN_SECONDS = 10.0
"""A film is read for so long; what is longer is told from its beginning."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found when the source was read, or the beginning of it."""

    frames: int
    shots: int
    clips: int
    is_whole: bool
    seconds_per_frame: float
    """Of one processor, to read a frame and look for cuts."""
    sample: Clip
    """One of its longest clips, from its later half where there is one."""

    def scaled(self, frames: int) -> "tuple[int, int]":
        """How many shots and clips `frames` frames of the kind have."""
        if self.is_whole:
            return self.shots, self.clips
        share = frames / self.frames
        return round(share * self.shots), round(share * self.clips)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run makes of a source, and what it takes; sizes in bytes, times in seconds."""

    source: VideoInfo
    output: Path
    codec: str
    pix_fmt: str
    size: Size
    streams: tuple[StreamFate, ...]
    frames: int
    shots: int
    clips: int
    is_exact: bool
    """Whether the whole source was read: else shots, clips and maybe frames are estimates."""
    clip_frames: int
    forecast: Forecast
    disk_free: int
    memory_total: int
    memory_free: int
    device_total: int | None

    @property
    def refusal(self) -> VsrError | None:
        """Why the run cannot work; None if nothing speaks against it."""
        need, room = self.forecast, self.disk_free
        if need.disk_bytes > room:
            return OutputError(
                f"the output and the work on it take about {_bytes(need.disk_bytes)}, and "
                f"{self.output.parent} has room for {_bytes(room)}: free some, choose another "
                "folder, or a higher --crf"
            )
        for what, least, total in (
            ("this machine", need.least_host_bytes, self.memory_total),
            ("the accelerator", need.least_device_bytes, self.device_total),
        ):
            if least is not None and total is not None and least > total:
                return DeviceError(
                    f"even clips of one frame take about {_bytes(least)} of memory, and {what} has "
                    f"{_bytes(total)}: reduce the source first, give --tile, or take a larger one"
                )
        return None

    @property
    def warning(self) -> str | None:
        """What may go wrong; None if nothing."""
        if self.forecast.host_bytes <= self.memory_free:
            return None
        return (
            f"only {_bytes(self.memory_free)} of memory are free: end other programs, or give "
            f"--max-clip-frames {max(1, self.clip_frames // 2)}"
        )

    def __str__(self) -> str:
        rows = list(self._rows())
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)

    def to_json(self) -> str:
        """The plan for programs."""
        values: dict[str, Any] = {
            "source": str(self.source.path),
            "output": str(self.output),
            "codec": self.codec,
            "pix_fmt": self.pix_fmt,
            "width": self.size.width,
            "height": self.size.height,
            "frames": self.frames,
            "shots": self.shots,
            "clips": self.clips,
            "is_exact": self.is_exact,
            "clip_frames": self.clip_frames,
            **asdict(self.forecast),
            "disk_free": self.disk_free,
            "memory_free": self.memory_free,
            "streams": [
                {
                    "index": fate.stream.index,
                    "kind": fate.stream.kind,
                    "codec": fate.stream.codec,
                    "kept": fate.is_kept,
                    "reason": fate.reason,
                }
                for fate in self.streams
            ],
            "refusal": None if self.refusal is None else str(self.refusal),
            "warning": self.warning,
        }
        return json.dumps(values, indent=2)

    def _rows(self) -> Iterator[tuple[str, str]]:
        source, need = self.source, self.forecast
        about = "" if self.is_exact else "about "
        yield "source", f"{source.path}: {source.width}x{source.height}, {source.codec}"
        yield "output", f"{self.output}: {self.size}, {self.codec} {self.pix_fmt}".rstrip()
        for fate in self.streams:
            what = "is copied" if fate.is_kept else f"is left out: {fate.reason}"
            yield f"stream {fate.stream.index}", f"{fate.stream} {what}"
        yield "frames", f"{about}{self.frames}"
        yield "shots", f"{about}{self.shots}"
        yield "clips", f"{about}{self.clips}, of at most {self.clip_frames} frames"
        yield "memory", f"about {_bytes(need.host_bytes)} ({_bytes(self.memory_free)} free)"
        if need.device_bytes is not None:
            total = "" if self.device_total is None else f" of {_bytes(self.device_total)}"
            yield "accelerator", f"about {_bytes(need.device_bytes)}{total}"
        yield (
            "disk",
            f"about {_bytes(need.output_bytes)}, {_bytes(need.disk_bytes)} during the work "
            f"({_bytes(self.disk_free)} free)",
        )
        speed = self.frames / need.seconds
        yield "time", f"about {timedelta(seconds=round(need.seconds))} ({speed:.3g} frames/s)"
        if self.warning:
            yield "warning", self.warning


def plan(source: Path, output: Path | None = None, config: UpscaleConfig | None = None) -> Plan:
    """What `upscale` with the same arguments would do; a few frames are made, to measure.

    Raises what `upscale` would raise before its first frame. Whether the run has room is `refusal`.
    """
    config = config or UpscaleConfig()
    info = probe(source, rate=config.frame_rate)
    small = Size(info.height, info.width)
    native = native_scale(config.model)
    size = output_size(small, config, native=native)
    output = output or default_output(source, config, native=native)
    settings = encoder_settings(config)
    check_output(output, source_path=source, settings=settings, overwrite=config.overwrite)
    encoding = encoding_of(output, info, (size.width, size.height), settings)
    fates = stream_fates(info, output)
    found = scan(source, config, clip_length(small, config))
    frames = found.frames if found.is_whole else max(found.frames, _told_frames(info, config))
    shots, clip_count = found.scaled(frames)
    pictures = [frame.pixels for frame in found.sample.frames]
    film = Film(
        source=small,
        size=size,
        frames=frames,
        shots=shots,
        encoding=encoding,
        sample_bytes=pictures[0].itemsize,
        read_seconds=found.seconds_per_frame,
        other_bytes=_other_bytes(info, fates),
    )
    from vsr.jobs.planning.calibration import calibrate  # here: it brings torch

    need = forecast(calibrate(pictures, config, film), film, processors=processors())
    host = psutil.virtual_memory()
    return Plan(
        source=info,
        output=output,
        codec=settings.codec_for(output),
        pix_fmt="" if encoding is None else encoding.pix_fmt,
        size=size,
        streams=fates,
        frames=frames,
        shots=shots,
        clips=clip_count,
        is_exact=found.is_whole,
        clip_frames=clip_length(small, config),
        forecast=need,
        disk_free=shutil.disk_usage(output.parent).free,
        memory_total=host.total,
        memory_free=host.available,
        device_total=_device_memory(config),
    )


def scan(source: Path, config: UpscaleConfig, clip_frames: int) -> Scan:
    """Read the source for some seconds, and say what is in it; InputError where nothing decodes."""
    began, worked = time.monotonic(), time.process_time()
    frames = shots = count = 0
    sample: Clip | None = None
    whole = True
    with source_reader(source, config) as reader:
        for clip in clips(reader, max_frames=clip_frames, detector=ShotDetector()):
            if sample is not None and time.monotonic() - began > _SCAN_SECONDS:
                whole = False
                break
            count += 1
            frames += len(clip.frames)
            shots += clip.starts_shot
            # The first, second, fourth, eighth: the last of these is never from the first half.
            longest = 0 if sample is None else len(sample.frames)
            if len(clip.frames) > longest - (count.bit_count() == 1):
                sample = clip
    if sample is None:
        raise InputError(f"{source} has no frame in the part that is asked for")
    return Scan(frames, shots, count, whole, (time.process_time() - worked) / frames, sample)


def _told_frames(info: VideoInfo, config: UpscaleConfig) -> int:
    """How many frames will come, by what the container says."""
    if info.duration is None or not (info.average_rate or info.frame_count):
        return 0
    whole = float(info.duration)
    rate = float(info.average_rate or 0) or (info.frame_count or 0) / whole
    return round(rate * min(whole - config.start, config.duration or whole))


def _other_bytes(info: VideoInfo, fates: tuple[StreamFate, ...]) -> float:
    """Bytes of the streams that are copied, by their bit rates."""
    seconds = float(info.duration or 0)
    return sum(seconds * (fate.bit_rate or 0) / 8 for fate in fates if fate.is_kept)


def _device_memory(config: UpscaleConfig) -> int | None:
    import torch

    from vsr.runtime.device import choose_device

    device = choose_device(config.device)
    if device.type != "cuda":
        return None
    return int(torch.cuda.get_device_properties(device).total_memory)


def _bytes(count: float) -> str:
    return f"{count / 1e9:.2g} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
