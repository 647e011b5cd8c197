"""Models are found by path or by the name of an embedded one, image networks among them."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.networks import compact, saved
from vsr.checkpoints.find import ASSETS, embedded_models, find_model, is_network, native_scale
from vsr.checkpoints.load import load
from vsr.errors import ModelError
from vsr.jobs.info import describe
from vsr.pipelines.image import ImageUpscalePipeline

NETWORKS = ("realesr-animevideov3", "realesr-general-x4v3", "realesrgan-x4plus")


def test_the_embedded_models_are_a_folder_and_three_image_networks():
    assert embedded_models().keys() == {"compact", *NETWORKS}
    assert embedded_models()["compact"].is_dir()
    assert all(is_network(embedded_models()[name]) for name in NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_embedded_network_has_a_card_with_licence_and_origin(name: str):
    text = (ASSETS / name / "README.md").read_text()
    facts = yaml.safe_load(text.split("---")[1])
    assert facts["license"] == "bsd-3-clause"
    assert "Real-ESRGAN" in text
    assert name in (ASSETS.parents[1] / "NOTICE").read_text()
    assert "bsd-3-clause" in describe(name)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_embedded_network_loads_by_its_name_and_matches_colours(name: str):
    pipe = load(name, device="cpu", dtype="float32")
    assert isinstance(pipe, ImageUpscalePipeline)
    assert (pipe.scale, native_scale(name), pipe.settings.color) == (4, 4, "wavelet")
    rows, columns = np.mgrid[:16, :24]
    waves = [np.sin(columns / 20), np.cos(rows / 16), np.sin((rows + columns) / 24)]
    frame = (127 + 80 * np.stack(waves, axis=-1)).astype(np.uint8)
    large = pipe(frame[None]).frames[0].astype(float)
    assert large.shape == (64, 96, 3)
    small = large.reshape(16, 4, 24, 4, 3).mean(axis=(1, 3))
    assert abs(small - frame).mean() < 4  # a picture of the source, not noise


def test_a_restoration_keeps_the_colours_that_it_makes(tmp_path: Path):
    restoration = load(saved(compact(scale=1), tmp_path / "net.pth"), device="cpu")
    assert restoration.settings.color == "none"


def test_a_file_or_folder_comes_before_an_embedded_name(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "compact").symlink_to(tiny_model)
    monkeypatch.chdir(tmp_path)
    assert find_model("compact") == Path("compact")


def test_a_name_that_is_nothing_hears_the_nearest_and_all_names():
    with pytest.raises(ModelError, match=r"did you mean realesrgan-x4plus.*Embedded: compact, "):
        find_model("realesrgan-x4-plus")
    with pytest.raises(ModelError, match="is not a model folder"):
        find_model("vsr")


def test_scale_of_a_folder_is_four():
    assert native_scale("compact") == 4
