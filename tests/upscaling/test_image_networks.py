"""From file to file with a network for images, at its own scale."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.decoded import pixels
from tests.networks import compact, saved, swinir
from vsr.cli import main
from vsr.config import UpscaleConfig
from vsr.errors import ConfigError
from vsr.jobs.upscale import upscale
from vsr.pipelines.image import ImageUpscalePipeline
from vsr.runtime.timing import NullTimer, StageTimer
from vsr.upscaling.load import load_upscaler
from vsr.upscaling.sizes import Size
from vsr.video.reading.clips import Clip
from vsr.video.reading.reader import Frame


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_network_that_enlarges_twice_gives_a_video_twice_as_large(
    tmp_path: Path, source: Path, suffix: str
) -> None:
    network = saved(compact(scale=2), tmp_path / f"net{suffix}")
    timer = StageTimer()
    config = UpscaleConfig(model=str(network), device="cpu", max_clip_frames=4, lossless=True)
    report = upscale(source, tmp_path / "out.mkv", config, timer=timer)
    assert (report.frames, report.size) == (10, Size(height=48, width=64))
    small = pixels(tmp_path / "out.mkv").reshape(10, 24, 2, 32, 2, 3).mean(axis=(2, 4))
    assert np.abs(small - pixels(source)).mean() < 12
    assert {"flow", "network", "propagate", "color"} <= set(timer.seconds)


def test_the_state_goes_from_clip_to_clip_and_not_over_a_cut(tmp_path: Path) -> None:
    network = saved(compact(scale=2), tmp_path / "net.pth")
    config = UpscaleConfig(model=str(network), device="cpu", dtype="float32")
    noise = np.random.default_rng(0).integers(0, 256, (4, 24, 32, 3), np.uint8)
    noise[2:] = noise[1]  # nothing moves at the boundary, so that the state is taken over
    frames = tuple(Frame(pixels, i, Fraction(1, 25)) for i, pixels in enumerate(noise))
    pipeline = ImageUpscalePipeline.from_file(network)
    state = pipeline(noise[:2]).state
    for cut in (False, True):
        upscaler = load_upscaler(config, Size(48, 64), NullTimer())
        upscaler(Clip(frames[:2], 0, starts_shot=True))
        second = upscaler(Clip(frames[2:], 2, starts_shot=cut))
        expected = pipeline(noise[2:], first_frame=2, state=None if cut else state).frames
        assert np.array_equal(second.pixels, expected)
    assert state is not None
    assert state.frames == 2


def test_an_output_without_a_name_says_the_networks_scale(tmp_path: Path, source: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(source.read_bytes())
    network = saved(compact(scale=1), tmp_path / "net.pth")
    report = upscale(clip, None, UpscaleConfig(model=str(network), device="cpu"))
    assert report.output == tmp_path / "clip_x1.mp4"


def test_a_scale_above_the_networks_own_is_refused(tmp_path: Path, source: Path) -> None:
    network = saved(compact(scale=2), tmp_path / "net.pth")
    with pytest.raises(ConfigError, match=r"scale = 3\.0 is out of range; it can be from 1 to 2"):
        upscale(source, tmp_path / "out.mkv", UpscaleConfig(model=str(network), scale=3.0))


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--steps", "4"], 2, "steps = 4, but a network for images has no use for it"),
        (["--prompt", "a cat"], 2, "prompt = a cat"),
        (["--noise-level", "20"], 2, "noise_level = 20"),
        (["--attention", "xformers"], 2, "brings its own"),
        (["--propagation-steps", "0,1"], 2, "one step"),
        (["--dtype", "float16"], 1, "dtype float16 is ten times as slow"),
        (["--model", "missing.pth"], 1, "there is no model missing.pth"),
    ],
    ids=str,
)
def test_what_a_network_cannot_do_gets_one_line_and_no_output(
    tmp_path: Path,
    source: Path,
    capfd: pytest.CaptureFixture[str],
    options: list[str],
    code: int,
    says: str,
) -> None:
    network, output = saved(swinir(), tmp_path / "net.pth"), tmp_path / "out.mp4"
    arguments = ["upscale", str(source), str(output), "--model", str(network), "--device", "cpu"]
    assert main([*arguments, *options]) == code
    errors = [line for line in capfd.readouterr().err.splitlines() if "error" in line]
    assert len(errors) == 1
    assert says in errors[0]
    assert not output.exists()


def test_info_says_what_is_in_a_network(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    network = saved(swinir(), tmp_path / "net.safetensors")
    assert main(["info", str(network)]) == 0
    lines = dict(line.split(maxsplit=1) for line in capfd.readouterr().out.splitlines())
    assert lines["architecture"].startswith("SwinIR")
    assert lines["scale"] == "2"
    assert lines["parameters"].startswith("0.01 M")
    assert lines["formats"] == "float32 bfloat16"
    assert lines["sizes"] == "any of at least 16 in multiples of 1"


def test_info_of_a_file_that_is_no_network_is_an_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "net.pth")
    assert main(["info", str(tmp_path / "net.pth")]) == 1
    assert "holds no image network that is known" in capfd.readouterr().err
