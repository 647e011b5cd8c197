"""The sample clip through the command line with the embedded model, as a newcomer runs it."""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

import vsr
from vsr.checkpoints.load import load_pipeline
from vsr.cli import main
from vsr.video.probe import probe
from vsr.video.reading.reader import VideoReader

ASSETS = Path(vsr.__file__).parent / "assets"
SAMPLE = ASSETS / "sample.mp4"
FRAMES = 6


@pytest.fixture(scope="module")
def upscaled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("sample") / "sample_x4.mkv"
    duration = str(FRAMES / 25)
    assert main(["upscale", str(SAMPLE), str(output), "--duration", duration, "--lossless"]) == 0
    return output


def test_the_output_is_four_times_larger_with_every_frame_in_its_place(upscaled: Path) -> None:
    assert (probe(upscaled).width, probe(upscaled).height) == (4 * 128, 4 * 96)
    with VideoReader(SAMPLE) as source, VideoReader(upscaled) as output:
        expected = [frame.seconds for frame in islice(source, FRAMES)]
        assert [frame.seconds for frame in output] == pytest.approx(expected, abs=5e-4)


def test_the_sound_comes_along(upscaled: Path) -> None:
    audio = [stream for stream in probe(upscaled).streams if stream.kind == "audio"]
    assert [stream.codec for stream in audio] == ["aac"]


def test_reduced_again_the_output_shows_what_the_source_shows(upscaled: Path) -> None:
    with VideoReader(SAMPLE) as source, VideoReader(upscaled) as output:
        for small, large in zip(islice(source, FRAMES), output, strict=True):
            wanted, got = (
                cv2.resize(frame.pixels, (32, 24), interpolation=cv2.INTER_AREA).astype(int)
                for frame in (small, large)
            )
            assert np.abs(got - wanted).mean() < 3  # of 255: no shift of place or colour


def test_edges_are_sharper_than_interpolation_makes_them(upscaled: Path) -> None:
    with VideoReader(SAMPLE) as source, VideoReader(upscaled) as output:
        small, large = next(iter(source)).pixels, next(iter(output)).pixels
    plain = cv2.resize(small, (512, 384), interpolation=cv2.INTER_CUBIC)
    assert _sharpness(large) > 1.2 * _sharpness(plain)


def _sharpness(image: np.ndarray) -> float:
    """The steepest edges: the 99th percentile of the gradient's length."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    return float(np.percentile(np.hypot(dx, dy), 99))


def test_tiles_of_the_embedded_model_are_the_whole_frame_without_a_seam() -> None:
    with VideoReader(SAMPLE) as source:
        frames = np.stack([frame.pixels[:64, :96] for frame in islice(source, 2)])
    pipe = load_pipeline(ASSETS / "compact", device="cpu")
    whole, tiled = (pipe(frames, tile=tile, output_type="pt").frames for tile in (None, 48))
    error = (tiled - whole) / 2
    # 57 dB; beyond 50 a difference is less than a step of 8 bits
    assert -10 * error.square().mean().log10() > 50
    # tiles are blended between columns 24 and 80: none of them stands out
    assert error.abs().mean(dim=(0, 1, 2, 3)).max() < 0.01
