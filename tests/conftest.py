"""Shapes are checked by the test run; small real clips that tests of jobs and commands share."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from jaxtyping import install_import_hook

from tests import typecheck

install_import_hook("vsr", f"{typecheck.__name__}.check")

FRAMES, HEIGHT, WIDTH, RATE = 10, 24, 32, Fraction(24000, 1001)


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of ten 32x24 frames at 23.976 frames/s, with a second of sound."""
    path = tmp_path_factory.mktemp("source") / "clip.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "10"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("aac", rate=16000, layout="mono")
        for picture in moving_pictures():
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        for number in range(7):
            samples = np.sin(np.arange(1024, dtype=np.float32) / 8)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, 1024 * number
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return path


def moving_pictures() -> Iterator[np.ndarray]:
    """Smooth pictures that move to the right by a pixel a frame."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for number in range(FRAMES):
        phases = [(columns - number) / 5, rows / 4, (columns - number + rows) / 7]
        channels = [127 + 100 * np.sin(phase) for phase in phases]
        yield np.stack(channels, axis=-1).astype(np.uint8)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model with few channels."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "model_index.json").write_text("{}")
    return folder
