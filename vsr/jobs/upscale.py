"""File to file: reading, upscaling and writing run at the same time, one clip each."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from vsr.config import UpscaleConfig
from vsr.errors import InputError
from vsr.jobs.device import choose_device, choose_dtype
from vsr.jobs.model_folder import find_model
from vsr.jobs.overlap import ahead, behind
from vsr.jobs.progress import ShowProgress, no_progress
from vsr.jobs.target import Size, codec_of, default_output, output_size
from vsr.ops.resize import reduce_frames
from vsr.pipeline import VideoUpscalePipeline, load_pipeline
from vsr.propagation import PropagationState
from vsr.timing import NullTimer, Timer
from vsr.video.clips import Clip, clips
from vsr.video.probe import VideoInfo, probe
from vsr.video.reader import VideoReader
from vsr.video.shots import ShotDetector
from vsr.video.writer import EncoderSettings, VideoWriter


@dataclass(frozen=True, slots=True)
class UpscaleReport:
    """What a run made, and in how many seconds, without those of loading the model."""

    output: Path
    frames: int
    size: Size
    seconds: float

    def __str__(self) -> str:
        files = [path for path in (self.output, *self.output.rglob("*")) if path.is_file()]
        megabytes = sum(path.stat().st_size for path in files) / 1e6
        return (
            f"{self.frames} frames at {self.size.width}x{self.size.height} in {self.seconds:.1f} s "
            f"({self.frames / self.seconds:.2f} frames/s): {self.output} ({megabytes:.1f} MB)"
        )


def upscale(
    source: Path,
    output: Path | None = None,
    config: UpscaleConfig | None = None,
    *,
    timer: Timer | None = None,
    progress: ShowProgress = no_progress,
) -> UpscaleReport:
    """Upscale the video or image folder `source` into `output`, and return what was made.

    The output appears under its name when it is complete. A damaged source gives the frames that
    decode, and then an InputError unless `config.tolerant`.
    """
    config = config or UpscaleConfig()
    timer = timer or NullTimer()
    info = probe(source)
    size = output_size(Size(info.height, info.width), config)
    output = output or default_output(source, config)
    with ExitStack() as stack:
        reader = stack.enter_context(_reader(source, config))
        writer = stack.enter_context(_writer(output, info, size, config))
        upscaler = Upscaler(_load(config), config, size, timer)
        began = time.monotonic()
        advance = stack.enter_context(progress(_expected_frames(info, config)))

        def write(clip: UpscaledClip) -> None:
            for pixels, pts in zip(clip.pixels, clip.pts, strict=True):
                with timer("encode"):
                    writer.write(pixels, pts)
                advance(1)

        frames = 0
        coming = stack.enter_context(ahead(_decoded(reader, config, timer)))
        put = stack.enter_context(behind(write))
        for clip in coming:
            put(upscaler(clip))
            frames += len(clip.frames)
    report = UpscaleReport(output, frames, size, time.monotonic() - began)
    if reader.damage and not config.tolerant:
        raise InputError(
            f"{source} is damaged: {reader.damage}; the {frames} frames that decode are in {output}"
        )
    return report


@dataclass(frozen=True, slots=True)
class UpscaledClip:
    """The finished frames of a clip, and when each is shown."""

    pixels: UInt8[np.ndarray, "t h w 3"]
    pts: tuple[int, ...]


@dataclass(slots=True)
class Upscaler:
    """The pipeline with its choices made, and what it carries from clip to clip of a shot."""

    pipeline: VideoUpscalePipeline
    config: UpscaleConfig
    size: Size
    timer: Timer
    _state: PropagationState | None = None

    def __call__(self, clip: Clip) -> UpscaledClip:
        """Return the frames of `clip` at the size of the output; clips come in their order."""
        config = self.config
        result = self.pipeline(
            np.stack([frame.pixels for frame in clip.frames]),
            prompt=config.prompt,
            negative_prompt=config.negative_prompt,
            num_inference_steps=config.steps,
            guidance_scale=config.guidance_scale,
            noise_level=config.noise_level,
            propagation_steps=config.propagation,
            seed=config.seed,
            first_frame=clip.first_frame_index,
            state=None if clip.starts_shot else self._state,
            segment_length=config.segment_length,
            tile=config.tile,
            color=config.color,
            timer=self.timer,
        )
        self._state = result.state
        with self.timer("reduce"):
            pixels = reduce_frames(result.frames, self.size.height, self.size.width)
        return UpscaledClip(pixels, tuple(frame.pts for frame in clip.frames))


def _load(config: UpscaleConfig) -> VideoUpscalePipeline:
    device = choose_device(config.device)
    folder = find_model(config.model)
    return load_pipeline(folder, torch_dtype=choose_dtype(config.dtype, device), device=device)


def _reader(source: Path, config: UpscaleConfig) -> VideoReader:
    return VideoReader(
        source, start=config.start, duration=config.duration, tolerant=config.tolerant
    )


def _writer(output: Path, info: VideoInfo, size: Size, config: UpscaleConfig) -> VideoWriter:
    return VideoWriter(
        output,
        source=info,
        width=size.width,
        height=size.height,
        settings=EncoderSettings(codec=codec_of(config), crf=config.crf, lossless=config.lossless),
        overwrite=config.overwrite,
        start=config.start,
        duration=config.duration,
    )


def _decoded(reader: VideoReader, config: UpscaleConfig, timer: Timer) -> Iterator[Clip]:
    """The clips of the reader, with the time that each takes to come."""
    found = clips(reader, max_frames=config.max_clip_frames, detector=ShotDetector())
    while True:
        with timer("decode"):
            clip = next(found, None)
        if clip is None:
            return
        yield clip


def _expected_frames(info: VideoInfo, config: UpscaleConfig) -> int | None:
    """How many frames will come: the container's word for the whole, a share of it for a part."""
    if info.frame_count is None or info.duration is None:
        return info.frame_count
    whole = float(info.duration)
    part = min(whole - config.start, config.duration or whole)
    return round(info.frame_count * part / whole) if part < whole else info.frame_count
