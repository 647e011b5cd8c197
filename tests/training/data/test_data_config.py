from pathlib import Path

import cv2
import pytest

from tests.training.data.test_samples import texture
from vsr.degradation import old_film_config, published_config
from vsr.errors import ConfigError
from vsr.training.config import DataConfig
from vsr.training.config_file import build_train_config, config_to_dict
from vsr.training.data.clip_row import ClipRow
from vsr.training.data.manifest import Manifest, write_manifest
from vsr.training.recipes.clip_recipe import make_dataset

STAGES = [{"name": "first", "steps": 3}]


def data(**values: object) -> DataConfig:
    return build_train_config({"stages": STAGES, "data": values}).data


def test_a_degradation_is_chosen_by_name() -> None:
    assert data(degradation="old_film").degradation == old_film_config()
    assert data(degradation="published").degradation == published_config()
    assert data(degradation="default").degradation == data().degradation


def test_fields_are_laid_over_a_preset() -> None:
    film = {"dust": {"probability": 0.1}, "grain": {"sigma": [1, 2]}}
    found = data(degradation={"preset": "old_film", "film": film, "drift": 0.2}).degradation
    assert found.drift == 0.2
    assert found.film is not None
    assert found.film.dust.probability == 0.1
    assert found.film.grain.sigma == (1.0, 2.0)
    assert found.film.scratches == old_film_config().film.scratches  # pyright: ignore
    assert found.second == old_film_config().second


def test_fields_without_a_preset_are_laid_over_the_default() -> None:
    assert data(degradation={"film": {}}).degradation.film == old_film_config().film
    assert data(degradation={"drift": 0.2}).degradation.second == data().degradation.second


def test_a_chosen_degradation_survives_the_way_through_a_checkpoint() -> None:
    config = build_train_config({"stages": STAGES, "data": {"degradation": "old_film"}})
    assert build_train_config(config_to_dict(config)) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("old_flim", "'old_flim'; there are default, published, old_film, generated"),
        ({"preset": "old_film", "flim": {}}, "did you mean film"),
        ({"film": {"dust": {"probability": 2}}}, "probability = 2.0 must lie between 0 and 1"),
        (["old_film"], "must be a mapping"),
    ],
)
def test_a_wrong_degradation_says_what_is_allowed(values: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        data(degradation=values)


def test_excluded_files_never_train(tmp_path: Path) -> None:
    for name in ("dog_1", "hill", "lake"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), texture(160, 200, 1))
    chosen = data(photos=str(tmp_path), clips=None, exclude=["dog*"], cache=str(tmp_path))
    paths = make_dataset(chosen, 16, 2, seed=0, held_out=False).photos.paths
    assert [path.name for path in paths] == ["hill.png", "lake.png"]


def test_a_run_trains_and_validates_on_the_splits_of_its_manifest(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    rows = []
    for split in ("train", "validation", "test"):
        cv2.imwrite(str(tmp_path / f"{split}.png"), texture(160, 200, len(rows)))
        rows.append(ClipRow(f"{split}.png", "image", split, 0, 0, 200, 160))
    write_manifest(tmp_path / "clips.parquet", Manifest(tmp_path, tuple(rows)))
    chosen = data(manifest=str(tmp_path / "clips.parquet"), cache=str(tmp_path))
    names = [
        [path.name for path in make_dataset(chosen, 16, 2, seed=0, held_out=held_out).photos.paths]
        for held_out in (False, True)
    ]
    assert names == [["train.png"], ["validation.png"]]
