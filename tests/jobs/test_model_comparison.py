"""One moment in several models: one picture, with the seconds a frame of each."""

from pathlib import Path

import cv2
import pytest

from tests.networks import compact, saved
from vsr.cli import main
from vsr.config import UpscaleConfig
from vsr.errors import ConfigError, ModelError
from vsr.jobs.model_comparison import compare_models

CONFIG = UpscaleConfig(device="cpu", dtype="float32")


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder with two networks, one of which enlarges twice."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("VSR_MODELS", str(folder))
    saved(compact(), folder / "four.pth")
    saved(compact(scale=2), folder / "two.pth")
    return folder


def test_the_picture_has_the_source_and_every_model_at_one_size(source, tmp_path):
    found = compare_models(source, tmp_path / "m.png", CONFIG, names=["four", "two"])
    assert list(found.seconds) == ["four", "two"]
    assert all(0 < seconds < 60 for seconds in found.seconds.values())
    height, width = cv2.imread(str(found.picture)).shape[:2]
    assert width == 3 * 128
    assert 96 < height < 2 * 96
    assert "four  " in str(found) and "s a frame" in str(found)


def test_the_moment_is_the_one_that_is_asked_for(source, tmp_path):
    pictures = [
        compare_models(source, tmp_path / f"{at}.png", CONFIG, at=at, names=["two"]).picture
        for at in (0.0, 0.2)
    ]
    assert pictures[0].read_bytes() != pictures[1].read_bytes()


def test_a_model_that_fails_is_left_out_with_a_line(source, tmp_path, models, caplog):
    (models / "broken.safetensors").write_bytes(b"nothing")
    found = compare_models(source, tmp_path / "m.png", CONFIG, names=["two", "broken"])
    assert list(found.seconds) == ["two"]
    assert "broken is left out" in caplog.text
    with pytest.raises(ModelError, match="none of broken works"):
        compare_models(source, tmp_path / "m.png", CONFIG, names=["broken"])


def test_an_unknown_model_hears_the_nearest(source):
    with pytest.raises(ConfigError, match="there is no model for; did you mean four"):
        compare_models(source, None, CONFIG, names=["for"])


def test_the_command_writes_beside_the_clip(source, tmp_path, capfd):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(source.read_bytes())
    assert main(["models", "compare", str(clip), "--only", "two", "--device", "cpu"]) == 0
    assert (tmp_path / "clip.models.png").is_file()
    assert main(["models", "compare"]) == 2
    assert "vsr models compare CLIP" in capfd.readouterr().err
