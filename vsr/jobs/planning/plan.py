"""The plan of a run: its output and cost, before it begins; impossible runs are refused."""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from vsr.checkpoints.find import is_picture_folder
from vsr.config import UpscaleConfig
from vsr.errors import DeviceError, InputError, OutputError, VsrError
from vsr.jobs.job import Job
from vsr.jobs.planning.forecast import Forecast, Rates, Workload, forecast, processors
from vsr.restoration.measure import Wear, measure
from vsr.restoration.plan import RepairPlan
from vsr.restoration.stage import Restorer
from vsr.upscaling.sizes import Size
from vsr.video.probe import VideoInfo
from vsr.video.reading.clips import Clip, clips
from vsr.video.reading.shots import ShotDetector
from vsr.video.writing.output_file import existing_folder
from vsr.video.writing.packet_order import clock_notes
from vsr.video.writing.stream_fates import StreamFate, container_losses, stream_fates

_SCAN_SECONDS = 10.0
"""Reading stops after this time; the rest of the film is estimated from its beginning."""


@dataclass(frozen=True, slots=True)
class Scan:
    """Counts of the source, or of its beginning."""

    frames: int
    shots: int
    clips: int
    is_whole: bool
    seconds_per_frame: float
    """Processor time to decode a frame and look for cuts."""
    sample: Clip
    """One of its longest clips, from the later half if one is there."""
    computed_pixels: float
    """Pixels of a frame that the networks enlarge, on average."""
    repeated: float = 0.0
    """The share of frames that repeat the one before and are not computed."""

    def averaged(self, rates: Rates, computed: Size) -> Rates:
        """Return the rates of an average clip, from those of one with frames of that size."""
        share = self.computed_pixels / computed.pixels
        return replace(rates, clip_seconds=share * rates.clip_seconds)

    def scaled(self, frames: int) -> "tuple[int, int]":
        """Return the numbers of shots and clips of `frames` frames of this kind."""
        if self.is_whole:
            return self.shots, self.clips
        share = frames / self.frames
        return round(share * self.shots), round(share * self.clips)


@dataclass(frozen=True, slots=True)
class Plan:
    """The output of a run and its cost; sizes in bytes, times in seconds."""

    source: VideoInfo
    output: Path
    codec: str
    pix_fmt: str
    computed: Size
    """Size of the pictures that the networks enlarge, in one of the longest clips."""
    size: Size
    streams: tuple[StreamFate, ...]
    losses: tuple[str, ...]
    frames: int
    shots: int
    clips: int
    is_exact: bool
    """True if the whole source was read; else shots, clips and maybe frames are estimates."""
    clip_frames: int
    sizes: str
    """The way from the source's size to the output's in that clip, in words."""
    forecast: Forecast
    drawn: float
    """Frames that are drawn for their texture, parts counted."""
    repeated: float
    """The share of frames that repeat the one before and are not computed."""
    disk_free: int
    memory_total: int
    memory_free: int
    device_total: int | None
    wear: Wear | None = None
    """The wear of a part of the source; None where no repair is asked for."""
    repairs: RepairPlan = field(default_factory=RepairPlan)

    @property
    def refusal(self) -> VsrError | None:
        """The reason why the run cannot work; None if there is none."""
        need, room = self.forecast, self.disk_free
        if need.disk_bytes > room:
            return OutputError(
                f"the output and the work on it take about {sized(need.disk_bytes)}, and "
                f"{self.output.parent} has room for {sized(room)}: free some, choose another "
                "folder, or a higher --crf"
            )
        for what, least, total in (
            ("this machine", need.least_host_bytes, self.memory_total),
            ("the accelerator", need.least_device_bytes, self.device_total),
        ):
            if least is not None and total is not None and least > total:
                return DeviceError(
                    f"even clips of one frame take about {sized(least)} of memory, and {what} has "
                    f"{sized(total)}: reduce the source first, give --tile, or take a larger one"
                )
        return None

    @property
    def warning(self) -> str | None:
        """A risk of the run; None if there is none."""
        if self.forecast.host_bytes <= self.memory_free:
            return None
        return (
            f"only {sized(self.memory_free)} of memory are free: end other programs, or give "
            f"--max-clip-frames {max(1, self.clip_frames // 2)}"
        )

    def __str__(self) -> str:
        rows = list(self._rows())
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)

    def to_json(self) -> str:
        """Return the plan as JSON."""
        values: dict[str, Any] = {
            "source": str(self.source.path),
            "output": str(self.output),
            "codec": self.codec,
            "pix_fmt": self.pix_fmt,
            "computed_width": self.computed.width,
            "computed_height": self.computed.height,
            "width": self.size.width,
            "height": self.size.height,
            "frames": self.frames,
            "shots": self.shots,
            "clips": self.clips,
            "is_exact": self.is_exact,
            "clip_frames": self.clip_frames,
            "repeated_share": self.repeated,
            **asdict(self.forecast),
            "wear": None if self.wear is None else asdict(self.wear),
            "repairs": str(self.repairs) if self.repairs else "",
            "disk_free": self.disk_free,
            "memory_free": self.memory_free,
            "streams": [
                {
                    "index": fate.stream.index,
                    "kind": fate.stream.kind,
                    "codec": fate.stream.codec,
                    "kept": fate.is_kept,
                    "reason": fate.reason,
                    "converted_to": fate.codec,
                }
                for fate in self.streams
            ],
            "losses": self.losses,
            "refusal": None if self.refusal is None else str(self.refusal),
            "warning": self.warning,
        }
        return json.dumps(values, indent=2)

    def _rows(self) -> Iterator[tuple[str, str]]:
        source, need = self.source, self.forecast
        about = "" if self.is_exact else "about "
        yield "source", f"{source.path}: {source.width}x{source.height}, {source.codec}"
        yield "output", f"{self.output}: {self.size}, {self.codec} {self.pix_fmt}".rstrip()
        yield "sizes", self.sizes
        for fate in self.streams:
            kept = f"is kept as {fate.codec.upper()}" if fate.codec else "is copied"
            what = kept if fate.is_kept else f"is left out: {fate.reason}"
            yield f"stream {fate.stream.index}", f"{fate.stream} {what}"
        for loss in self.losses:
            yield "note", loss
        if self.wear is not None:
            yield "wear", str(self.wear)
            yield "repairs", f"{self.repairs}: {self._effect(self.wear)}"
        yield "frames", f"{about}{self.frames}{self._repeats()}"
        yield "shots", f"{about}{self.shots}"
        yield "clips", f"{about}{self.clips}, of at most {self.clip_frames} frames"
        if self.drawn:
            share = 100 * self.drawn / self.frames
            yield (
                "texture",
                f"drawn on about {self.drawn:.0f} frames ({share:.0f} %), parts counted",
            )
        yield "memory", f"about {sized(need.host_bytes)} ({sized(self.memory_free)} free)"
        if need.device_bytes is not None:
            total = "" if self.device_total is None else f" of {sized(self.device_total)}"
            yield "accelerator", f"about {sized(need.device_bytes)}{total}"
        yield (
            "disk",
            f"about {sized(need.output_bytes)}, {sized(need.disk_bytes)} during the work "
            f"({sized(self.disk_free)} free)",
        )
        speed = self.frames / need.seconds
        yield "time", f"about {timedelta(seconds=round(need.seconds))} ({speed:.3g} frames/s)"
        if self.warning:
            yield "warning", self.warning

    def _repeats(self) -> str:
        if not self.repeated:
            return ""
        about = "" if self.is_exact else "about "
        share = f"{about}{100 * self.repeated:.0f} %"
        return f", of which {share} repeat the one before and are not computed again"

    def _effect(self, wear: Wear) -> str:
        """Say what the repairs will find to do, and what they leave, by the wear."""
        asked = {name for name, strength in self.repairs if strength}
        chosen = [name for name in wear.repairs if name in asked]
        left = [name for name in wear.repairs if name not in asked]
        effect = "the film is clean as far as was looked, and stays as it is"
        if chosen:
            effect = f"there is work for {', '.join(chosen)}; the others leave the film as it is"
        elif left:
            effect = "they find nothing to do, and the film stays as it is"
        if left:
            effect += f"; {' and '.join(left)} would find work too, and must be asked for by name"
        return effect


def plan(
    source: Path,
    output: Path | None = None,
    config: UpscaleConfig | None = None,
    *,
    makes_folder: bool = False,
) -> Plan:
    """Return the plan of `upscale` with the same arguments; a few frames are upscaled to measure.

    With `makes_folder` the run makes the folder of the output, as a batch does. Raises what
    `upscale` would raise before its first frame. Whether the run has room is `refusal`.
    """
    job = Job.of(source, output, config or UpscaleConfig())
    job.check_output(makes_folder=makes_folder)
    job.log_size()
    return _plan_of(job)


def _plan_of(job: Job) -> Plan:
    config = job.config
    fates = stream_fates(job.info, job.output)
    found = scan(job)
    frames = found.frames if found.is_whole else max(found.frames, job.expected_frames or 0)
    shots, clip_count = found.scaled(frames)
    framing = job.framing(found.sample.traits)
    sample = [found.sample.frames[place].pixels for place in found.sample.pictures]
    pictures = list(framing.prepare(np.stack(sample)))
    wear, repair_seconds = _wear(job, found.sample)
    workload = Workload(
        source=job.source_size,
        computed=framing.computed,
        enlarged=framing.inner_size,
        size=job.size,
        frames=frames,
        shots=shots,
        encoding=job.encoding,
        sample_bytes=pictures[0].itemsize,
        read_seconds=found.seconds_per_frame + repair_seconds,
        other_bytes=_other_bytes(job.info, fates),
        drawn=drawn_frames(config, frames=frames, shots=shots),
        repeated=found.repeated,
    )
    from vsr.jobs.planning.calibration import calibrate  # here: it brings torch

    ahead = [framing.prepare(frame.pixels[None])[0] for frame in found.sample.coming]
    rates = found.averaged(calibrate(pictures, config, workload, ahead=ahead), framing.computed)
    need = forecast(rates, workload, processors=processors())
    host = psutil.virtual_memory()
    return Plan(
        source=job.info,
        output=job.output,
        codec=job.settings.codec_for(job.output),
        pix_fmt="" if job.encoding is None else job.encoding.pix_fmt,
        computed=framing.computed,
        size=job.size,
        streams=fates,
        losses=(*container_losses(job.info, job.output), *clock_notes(job.info)),
        frames=frames,
        shots=shots,
        clips=clip_count,
        is_exact=found.is_whole,
        clip_frames=job.clip_frames,
        sizes=str(framing),
        forecast=need,
        drawn=workload.drawn,
        repeated=found.repeated,
        disk_free=shutil.disk_usage(existing_folder(job.output.parent)).free,
        memory_total=host.total,
        memory_free=host.available,
        device_total=_device_memory(config),
        wear=wear,
        repairs=job.repairs,
    )


def _wear(job: Job, sample: Clip) -> tuple[Wear | None, float]:
    """Return the wear of the sample, and the processor time of repairing a frame."""
    if not job.repairs:
        return None, 0.0
    found = measure([frame.pixels for frame in sample.frames])
    restorer = Restorer(
        job.repairs, first_frame=sample.first_frame_index, pictures=job.repair_pictures
    )
    began = time.process_time()
    marked = ((frame, number == 0) for number, frame in enumerate(sample.frames))
    count = sum(1 for _ in restorer.frames(marked))
    return found, (time.process_time() - began) / count


def scan(job: Job) -> Scan:
    """Read the source for some seconds, and count; InputError if nothing decodes."""
    began, worked = time.monotonic(), time.process_time()
    frames = shots = count = computed = repeated = 0
    sample: Clip | None = None
    whole = True
    with job.reader() as reader:
        found = clips(
            reader,
            max_frames=job.clip_frames,
            detector=ShotDetector(),
            look_ahead=job.look_ahead,
            analysis=job.analysis,
            share_repeats=job.reuses_repeats,
        )
        for clip in found:
            if sample is not None and time.monotonic() - began > _SCAN_SECONDS:
                whole = False
                break
            count += 1
            frames += len(clip.frames)
            shots += clip.starts_shot
            length = len(clip.pictures)
            repeated += len(clip.frames) - length
            computed += len(clip.frames) * job.framing(clip.traits).computed.pixels
            # The first, second, fourth, eighth: the last of these is never from the first half.
            longest = 0 if sample is None else len(sample.pictures)
            if length and length > longest - (count.bit_count() == 1):
                sample = clip
    if sample is None:
        raise InputError(f"{job.source} has no frame in the part that is asked for")
    seconds = (time.process_time() - worked) / frames
    pixels = computed / frames
    return Scan(frames, shots, count, whole, seconds, sample, pixels, repeated / frames)


def drawn_frames(config: UpscaleConfig, *, frames: int, shots: int) -> float:
    """Return about how many frames the model of the texture draws, parts counted."""
    if config.texture_model is None or is_picture_folder(config.texture_model):
        return 0.0
    if config.key_distance is not None:
        return max(shots, frames / config.key_distance)
    # between a key each 24 frames and the most that a shot may draw, a twelfth
    return shots + frames / 16 - shots / 16


def _other_bytes(info: VideoInfo, fates: tuple[StreamFate, ...]) -> float:
    """Return the bytes of the streams that are copied, by their bit rates."""
    seconds = float(info.duration or 0)
    return sum(seconds * (fate.bit_rate or 0) / 8 for fate in fates if fate.is_kept)


def _device_memory(config: UpscaleConfig) -> int | None:
    import torch

    from vsr.runtime.device import choose_device

    device = choose_device(config.device)
    if device.type != "cuda":
        return None
    return int(torch.cuda.get_device_properties(device).total_memory)


def sized(count: float) -> str:
    """Return a number of bytes as `12 MB` or `3.4 GB`."""
    return f"{count / 1e9:.2g} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
