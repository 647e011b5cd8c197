"""Models are found by path or by the name of an embedded one, image networks among them."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.networks import compact, saved
from vsr.checkpoints.find import (
    ASSETS,
    embedded_models,
    find_model,
    is_network,
    look_ahead,
    models_folder,
    native_scale,
    own_models,
)
from vsr.checkpoints.load import load
from vsr.errors import ModelError
from vsr.jobs.info import describe
from vsr.pipelines.image import ImageUpscalePipeline

NETWORKS = ("realesr-animevideov3", "realesr-general-x4v3", "realesrgan-x4plus")


def test_the_embedded_models_are_a_folder_three_image_networks_and_a_recurrent_one():
    assert embedded_models().keys() == {"compact", "basicvsr-reds4", *NETWORKS}
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


def test_the_recurrent_network_has_a_card_with_licence_and_origin():
    text = (ASSETS / "basicvsr-reds4" / "README.md").read_text()
    assert yaml.safe_load(text.split("---")[1])["license"] == "apache-2.0"
    assert "BasicSR" in (ASSETS.parents[1] / "NOTICE").read_text()
    assert "apache-2.0" in describe("basicvsr-reds4")
    assert (native_scale("basicvsr-reds4"), look_ahead("basicvsr-reds4")) == (4, 4)
    assert look_ahead("compact") == look_ahead("realesrgan-x4plus") == 0


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


def test_the_models_folder_is_that_of_the_environment_or_of_the_users_data(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("VSR_MODELS", raising=False)
    assert models_folder() == tmp_path / "data" / "vsr" / "models"
    assert own_models() == {}
    monkeypatch.setenv("VSR_MODELS", str(tmp_path))
    file = saved(compact(scale=2), tmp_path / "sharp.pth")
    assert own_models() == {"sharp": file}
    assert (find_model("sharp"), native_scale("sharp")) == (file, 2)
    with pytest.raises(ModelError, match="in the models folder: sharp; without"):
        find_model("nothing")


def test_an_embedded_name_comes_before_one_of_the_models_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("VSR_MODELS", str(tmp_path))
    saved(compact(), tmp_path / "realesrgan-x4plus.pth")
    assert find_model("realesrgan-x4plus") == embedded_models()["realesrgan-x4plus"]


def test_scale_of_a_folder_is_four():
    assert native_scale("compact") == 4
