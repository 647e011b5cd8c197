from pathlib import Path

import pytest

from tests.training.regression import Regression, config
from vsr.errors import ConfigError, DependencyError
from vsr.training.loop import run_training


def test_an_unknown_tracker_is_refused_with_the_nearest_name(tmp_path: Path):
    with pytest.raises(ConfigError, match="did you mean tensorboard"):
        run_training(config(tmp_path, trackers=["tensorbord"]), Regression())


def test_a_tracker_that_is_not_installed_is_refused(tmp_path: Path):
    with pytest.raises(DependencyError, match="aim is not installed"):
        run_training(config(tmp_path, trackers=["aim"]), Regression())


def test_tensorboard_gets_the_figures_and_the_config(tmp_path: Path):
    event_file = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    run_training(config(tmp_path, trackers=["tensorboard"]), Regression())
    files = [path for path in tmp_path.rglob("events.out.*") if path.parent.name == "tensorboard"]
    events = [event for file in files for event in event_file.EventFileLoader(str(file)).Load()]
    tags = {value.tag for event in events for value in event.summary.value}
    assert {"train/loss", "validation/psnr"} <= tags
    (kept,) = tmp_path.rglob("hparams.yml")
    assert "optimizer.clip_norm" in kept.read_text()
