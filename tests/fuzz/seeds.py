"""Eight small films of different formats, to be damaged."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

_FRAMES, _RATE = 8, 24


def write_seeds(folder: Path) -> tuple[Path, ...]:
    """Write the films, of a few kilobytes each, and return them."""
    for name, write in _WRITERS.items():
        write(folder / name)
    return tuple(folder / name for name in _WRITERS)


def _pictures() -> list[np.ndarray]:
    rows, columns = np.mgrid[:24, :32]
    shades = [127 + 100 * np.sin((columns - t + rows) / 5) for t in range(_FRAMES)]
    return [np.repeat(shade.astype(np.uint8)[..., None], 3, axis=2) for shade in shades]


def _film(codec: str, pix_fmt: str = "yuv420p", sound: str | None = None) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with av.open(str(path), "w") as output:
            output.metadata["title"] = "a film"
            video: Any = output.add_stream(codec, rate=_RATE)
            video.width, video.height, video.pix_fmt = 32, 24, pix_fmt
            audio: Any = output.add_stream(sound, rate=16000, layout="mono") if sound else None
            for picture in _pictures():
                output.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            output.mux(video.encode(None))
            if audio is not None:
                _write_sound(output, audio)

    return write


def _write_sound(output: Any, audio: Any) -> None:
    resampler = av.AudioResampler(format=audio.format, layout="mono", rate=16000)
    samples = (8000 * np.sin(np.arange(5000) / 8)).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
    fifo = av.AudioFifo()
    for resampled in resampler.resample(frame):
        fifo.write(resampled)
    size = audio.codec_context.frame_size or 1024
    while (block := fifo.read(size)) is not None:
        output.mux(audio.encode(block))
    output.mux(audio.encode(None))


def _picture(path: Path) -> None:
    cv2.imwrite(str(path), _pictures()[0])


_WRITERS: dict[str, Callable[[Path], None]] = {
    "film.mp4": _film("libx264", sound="aac"),
    "film.mkv": _film("ffv1", "yuv422p", sound="flac"),
    "film.mov": _film("prores_ks", "yuv422p10le", sound="pcm_s16le"),
    "film.ts": _film("mpeg2video", sound="mp2"),
    "film.avi": _film("mpeg4", sound="pcm_s16le"),
    "film.webm": _film("libvpx", sound="libopus"),
    "film.gif": _film("gif", "rgb8"),
    "picture.png": _picture,
}
