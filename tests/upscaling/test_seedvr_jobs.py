"""From file to file with SeedVR: a shot is one stream, at the size that is asked for."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.decoded import pixels
from tests.seedvr import save_folder
from tests.upscaling.stopping import Stop, stop_at
from tests.upscaling.test_fallback import FailingTimer
from vsr.checkpoints.load import load
from vsr.cli import main
from vsr.config import UpscaleConfig
from vsr.errors import ConfigError
from vsr.jobs.job import Job
from vsr.jobs.upscale import upscale
from vsr.pipelines.seedvr.pipeline import SeedVRPipeline
from vsr.runtime.timing import NullTimer
from vsr.upscaling.fallback import Fallback
from vsr.upscaling.load import load_upscaler
from vsr.upscaling.sizes import Size, output_size
from vsr.video.reading.clips import Clip
from vsr.video.reading.reader import Frame, VideoReader


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folder(tmp_path_factory.mktemp("models") / "seedvr2")


def _config(folder: Path, clip_frames: int | None = 4, **options) -> UpscaleConfig:
    return UpscaleConfig(
        model=str(folder),
        device="cpu",
        dtype="float32",
        scale=2,
        max_clip_frames=clip_frames,
        lossless=True,
        **options,
    )


def test_a_film_comes_out_whole_at_the_size_asked_for(tmp_path, source, folder):
    report = upscale(source, tmp_path / "out.mkv", _config(folder, clip_frames=None))
    assert (report.frames, str(report.size)) == (10, "64x48")


def test_the_official_crop_gives_the_frames_of_the_pipeline(tmp_path, source, folder):
    config = _config(folder, clip_frames=None, seedvr_crop="official", duration=0.1)
    report = upscale(source, tmp_path / "out.mkv", replace(config, scale=1.4))
    with VideoReader(source, duration=0.1) as reader:
        small = np.stack([frame.pixels for frame in reader])
    pipe = SeedVRPipeline.from_pretrained(folder)
    expected = pipe(small, size=(34, 44), fit="crop").frames
    assert str(report.size) == "32x32"
    assert np.array_equal(pixels(report.output), expected)


def test_the_official_crop_is_for_seedvr_and_for_frames_of_16_pixels(source, folder):
    with pytest.raises(ConfigError, match="compact is another model"):
        Job.of(source, None, UpscaleConfig(seedvr_crop="official"))
    with pytest.raises(ConfigError, match="cannot be cropped to multiples of 16"):
        output_size(Size(10, 40), replace(_config(folder, seedvr_crop="official"), scale=1.2))


@pytest.mark.slow
def test_clips_of_a_job_are_those_of_the_pipeline(tmp_path, source, folder):
    report = upscale(source, tmp_path / "out.mkv", _config(folder))
    assert (report.frames, str(report.size)) == (10, "64x48")
    pipe = SeedVRPipeline.from_pretrained(folder)
    pipe.scale = 2
    with VideoReader(source) as reader:
        small = [frame.pixels for frame in reader]
    expected = np.stack(list(pipe.upscale(small, max_clip_frames=4)))
    assert np.array_equal(pixels(report.output), expected)


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path, source, folder, monkeypatch):
    upscale(source, tmp_path / "whole.mkv", _config(folder))
    stop_at(3, monkeypatch)
    with pytest.raises(Stop):
        upscale(source, tmp_path / "out.mkv", _config(folder))
    upscale(source, tmp_path / "out.mkv", _config(folder))
    assert (tmp_path / "out.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()


def test_a_job_gives_it_long_clips_at_the_size_of_the_output(source, folder):
    job = Job.of(source, None, _config(folder, clip_frames=None))
    assert (job.look_ahead, job.clip_frames) == (11, 28)
    assert not job.analysis.detail  # nothing is saved by frames reduced first
    assert Job.of(source, None, UpscaleConfig()).clip_frames != 28


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--tile", "64"], "tile = 64, but SeedVR has no use for it"),
        (["--prompt", "sharp"], "no use"),
        (["--propagation-steps", "1"], "none or 0"),
    ],
)
def test_options_without_use_are_refused(tmp_path, source, folder, capfd, options, says):
    command = ["upscale", str(source), str(tmp_path / "o.mp4"), "--model", str(folder)]
    assert main([*command, "--device", "cpu", *options]) == 2
    assert says in capfd.readouterr().err


def test_weights_can_lie_in_8_bits_and_only_those_of_seedvr(folder):
    pipe = load(folder, device="cpu", dtype="float32", storage="fp8")
    assert pipe.networks.transformer.blocks[0].mlp.vid.proj_in.weight.dtype == torch.float8_e4m3fn
    assert pipe.dtype == torch.float32
    for other in ("compact", "bicubic"):
        with pytest.raises(ConfigError, match=f"for SeedVR, not for {other}"):
            load(other, device="cpu", storage="fp8")


def test_memory_that_runs_out_makes_the_autoencoder_work_by_rows(folder, monkeypatch, caplog):
    monkeypatch.setattr("vsr.pipelines.seedvr.networks.STRIP_BYTES", 10_000)
    frames = tuple(
        Frame(np.full((16, 24, 3), 9 * i, np.uint8), i, Fraction(1, 25)) for i in range(6)
    )
    made = [
        load_upscaler(_config(folder), Size(32, 48), timer)(Clip(frames, 0, starts_shot=True))
        for timer in (NullTimer(), FailingTimer("decode", 1))
    ]
    assert made[1].fallback == Fallback(by_rows=True)
    assert "now with maps in strips of rows" in caplog.text
    assert np.abs(made[0].pixels.astype(int) - made[1].pixels).max() <= 1


def test_info_says_what_it_is(folder, capfd):
    assert main(["info", str(folder)]) == 0
    assert "SeedVRPipeline" in capfd.readouterr().out
