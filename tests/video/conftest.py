"""Small real files, made as the tests run."""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest


def pictures(count: int, height: int = 48, width: int = 64) -> Iterator[np.ndarray]:
    """Smooth coloured waves that move to the left and grow brighter by 2 levels a frame."""
    y, x, c = np.ogrid[:height, :width, :3]
    for t in range(count):
        waves = 70 + 2 * t + 30 * np.sin((x + t) / 9 + c) + 20 * np.cos(y / 11)
        yield waves.clip(0, 255).astype(np.uint8)


def add_audio(container: av.container.OutputContainer, codec: str):
    stream = container.add_stream(codec, rate=48000)
    stream.layout = "mono"
    return stream


def encode_audio(container: av.container.OutputContainer, stream, seconds: float) -> None:
    """Mux a tone; the container interleaves it with what is muxed beside it."""
    size = 1024
    for block in range(int(seconds * 48000 / size)):
        phase = np.arange(block * size, (block + 1) * size) / 48000 * 440 * 2 * np.pi
        samples = (np.sin(phase) * 8000).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 48000
        frame.pts = block * size
        frame.time_base = Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a video file and returns its path."""

    def make(
        name: str = "source.mp4",
        *,
        frames: int = 12,
        height: int = 48,
        width: int = 64,
        pixels: Sequence[np.ndarray] | None = None,
        pts: Sequence[int] | None = None,
        time_base: Fraction = Fraction(1, 12800),
        rate: int | Fraction = 25,
        codec: str = "libx264",
        pix_fmt: str = "yuv420p",
        options: dict[str, str] | None = None,
        container_options: dict[str, str] | None = None,
        audio: Sequence[str] = (),
        metadata: dict[str, str] | None = None,
        chapters: list[dict] | None = None,
        rotation: int | None = None,
        sample_aspect_ratio: Fraction | None = None,
        color: tuple[int, int, int, int] | None = None,
    ) -> Path:
        path = tmp_path / name
        with av.open(path, "w", container_options=container_options or {}) as container:
            settings = {"crf": "12"} if options is None else options
            stream = container.add_stream(codec, rate=rate, options=settings)
            stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
            stream.codec_context.time_base = stream.time_base = time_base
            if sample_aspect_ratio is not None:
                stream.codec_context.sample_aspect_ratio = sample_aspect_ratio
            if rotation is not None:
                stream.set_display_rotation(rotation)
            if color is not None:
                context = stream.codec_context
                context.color_primaries, context.color_trc = color[:2]
                context.colorspace, context.color_range = color[2:]
            container.metadata.update(metadata or {})
            if chapters:
                container.set_chapters(chapters)
            tracks = [add_audio(container, codec) for codec in audio]
            step = round(1 / (rate * time_base))
            content = pixels if pixels is not None else pictures(frames, height, width)
            for number, picture in enumerate(content):
                frame = av.VideoFrame.from_ndarray(
                    picture, format="rgb24" if picture.itemsize == 1 else "rgb48le"
                ).reformat(format=pix_fmt)
                frame.pts = number * step if pts is None else pts[number]
                frame.time_base = time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            for track in tracks:
                encode_audio(container, track, frames * step * float(time_base))
        return path

    return make


@pytest.fixture
def make_audio() -> Callable[[Path], Path]:
    """A function that writes a file with sound alone."""

    def make(path: Path) -> Path:
        with av.open(path, "w") as container:
            encode_audio(container, add_audio(container, "aac"), 0.5)
        return path

    return make
