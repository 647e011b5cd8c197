"""File to file: reading, upscaling and writing run at the same time, one clip each."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from vsr.config import UpscaleConfig
from vsr.errors import InputError
from vsr.jobs.model_folder import native_scale
from vsr.jobs.overlap import ahead, behind
from vsr.jobs.progress import ShowProgress, no_progress
from vsr.jobs.target import Size, clip_length, default_output, encoder_settings, output_size
from vsr.timing import NullTimer, Timer
from vsr.video.clips import Clip, clips
from vsr.video.probe import VideoInfo, probe
from vsr.video.reader import Frame, VideoReader
from vsr.video.shots import ShotDetector
from vsr.video.writer import VideoWriter


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
    scale = native_scale(config.model)
    size = output_size(Size(info.height, info.width), config, native=scale)
    output = output or default_output(source, config, native=scale)
    with ExitStack() as stack:
        reader = stack.enter_context(_reader(source, config))
        writer = stack.enter_context(_writer(output, info, size, config))
        # Here, so that what is wrong with the files is known before seconds of imports.
        from vsr.jobs.upscaler import UpscaledClip, Upscaler

        upscaler = Upscaler.load(config, size, timer)
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
    try:
        reader.check_damage()
    except InputError as error:
        raise InputError(f"{error}; the {frames} frames that decode are in {output}") from error
    return report


def _reader(source: Path, config: UpscaleConfig) -> VideoReader:
    return VideoReader(
        source,
        start=config.start,
        duration=config.duration,
        tolerant=config.tolerant,
        deinterlace=config.deinterlace,
    )


def _writer(output: Path, info: VideoInfo, size: Size, config: UpscaleConfig) -> VideoWriter:
    return VideoWriter(
        output,
        source=info,
        width=size.width,
        height=size.height,
        settings=encoder_settings(config),
        overwrite=config.overwrite,
        start=config.start,
        duration=config.duration,
    )


def _decoded(reader: VideoReader, config: UpscaleConfig, timer: Timer) -> Iterator[Clip]:
    """The clips of the reader, numbered from the first frame of the source: noise depends on it."""
    length = clip_length(Size(reader.info.height, reader.info.width), config)
    found = clips(reader, max_frames=length, detector=ShotDetector())
    skipped = None
    while True:
        with timer("decode"):
            clip = next(found, None)
        if clip is None:
            return
        if skipped is None:
            skipped = _frame_number(clip.frames[0], reader.info)
        yield replace(clip, first_frame_index=skipped + clip.first_frame_index)


def _frame_number(frame: Frame, info: VideoInfo) -> int:
    """How many frames the source shows before `frame`, by its average rate."""
    seconds = frame.seconds - info.start_pts * info.time_base
    return 0 if info.average_rate is None else round(seconds * info.average_rate)


def _expected_frames(info: VideoInfo, config: UpscaleConfig) -> int | None:
    """How many frames will come: the container's word for the whole, a share of it for a part."""
    if info.frame_count is None or info.duration is None:
        return info.frame_count
    whole = float(info.duration)
    part = min(whole - config.start, config.duration or whole)
    return round(info.frame_count * part / whole) if part < whole else info.frame_count
