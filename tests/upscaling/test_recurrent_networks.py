"""From file to file with a recurrent network: features are carried, also by a run that resumes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.decoded import pixels
from tests.upscaling.stopping import Stop, stop_at
from vsr.cli import main
from vsr.config import UpscaleConfig
from vsr.jobs.job import Job
from vsr.jobs.model import ConfiguredModel
from vsr.jobs.upscale import upscale
from vsr.models.basicvsr import BasicVsr
from vsr.pipelines.recurrent import RecurrentUpscalePipeline
from vsr.video.reading.reader import VideoReader


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("net") / "net.safetensors"
    save_file(BasicVsr(channels=8, blocks=1).state_dict(), path)
    return path


def _config(network: Path, clip_frames: int = 3) -> UpscaleConfig:
    return UpscaleConfig(
        model=str(network),
        device="cpu",
        dtype="float32",
        max_clip_frames=clip_frames,
        lossless=True,
    )


def test_clips_of_a_job_are_those_of_the_pipeline(tmp_path, source, network):
    report = upscale(source, tmp_path / "out.mkv", _config(network))
    assert (report.frames, str(report.size)) == (10, "128x96")
    pipe = RecurrentUpscalePipeline.from_file(network)
    with VideoReader(source) as reader:
        small = [frame.pixels for frame in reader]
    expected = np.stack(list(pipe.upscale(small, max_clip_frames=3)))
    assert np.array_equal(pixels(report.output), expected)


def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path, source, network, monkeypatch):
    upscale(source, tmp_path / "whole.mkv", _config(network))
    stop_at(3, monkeypatch)
    with pytest.raises(Stop):
        upscale(source, tmp_path / "out.mkv", _config(network))
    upscale(source, tmp_path / "out.mkv", _config(network))
    assert (tmp_path / "out.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()


def test_a_job_knows_how_far_its_model_looks(source, network):
    assert Job.of(source, None, _config(network)).look_ahead == 4
    assert Job.of(source, None, UpscaleConfig()).look_ahead == 0


def test_it_is_upscaled_by_fine_flow_whatever_the_device_has(source, network):
    from vsr.runtime.timing import NullTimer

    config = _config(network)
    model = ConfiguredModel(config)
    upscaler = model.load(Job.of(source, None, config).size, NullTimer())
    search = upscaler.pipeline.flow_estimator._search._search
    assert (search.getFinestScale(), search.getVariationalRefinementIterations()) == (0, 15)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--tile", "64"], "tile = 64, but net.safetensors has no use for it"),
        (["--propagation-steps", "0"], "carries features itself"),
        (["--preset", "upscale-a-video"], "presets are for model folders"),
        (["--attention", "xformers"], "has none: leave it out"),
    ],
)
def test_options_without_use_are_refused(tmp_path, source, network, capfd, options, says):
    command = ["upscale", str(source), str(tmp_path / "o.mp4"), "--model", str(network)]
    assert main([*command, "--device", "cpu", *options]) == 2
    assert says in capfd.readouterr().err


def test_info_says_what_it_is(network, capfd):
    assert main(["info", str(network)]) == 0
    lines = dict(line.split(maxsplit=1) for line in capfd.readouterr().out.splitlines())
    assert lines["architecture"] == "BasicVSR, 8 channels; flow by DIS"
    assert lines["scale"] == "4"
