from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

from vsr.errors import ConfigError
from vsr.training.config_file import (
    build_train_config,
    config_to_dict,
    differing_fields,
    load_train_config,
    shipped_configs,
)
from vsr.training.recipes.networks import existing_file, named_path

SHIPPED = sorted((Path(__file__).parents[2] / "configs" / "train").glob("*.yaml"))
ONE_STAGE = {"stages": [{"name": "first", "steps": 3, "lr": "1e-3"}]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(ONE_STAGE))
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_config_loads(path: Path):
    assert load_train_config(path).stages


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_config_loads_by_its_name(path: Path):
    assert load_train_config(path.stem) == load_train_config(path)
    assert shipped_configs()[path.stem] == path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_clips_that_judge_moving_scenes_never_train(path: Path):
    patterns = load_train_config(path).data.exclude
    for name in ("01_dog", "05_default_juggle", "car-detection", "01_dog_mp4_shot0003"):
        assert any(fnmatchcase(name, pattern) for pattern in patterns)


@pytest.mark.parametrize("name", ["compact", "compact_long"])
def test_networks_that_a_config_starts_from_are_inside_the_package(name: str):
    config = load_train_config(name)
    assert config.init and named_path(config.init).exists()
    assert config.teacher and existing_file(config.teacher, "teacher").is_file()


def test_a_name_near_a_shipped_one_is_suggested():
    with pytest.raises(ConfigError, match="did you mean compact"):
        load_train_config("compakt")


def test_a_config_in_plain_form_is_read_back_as_it_was():
    config = build_train_config(ONE_STAGE)
    plain = yaml.safe_load(yaml.safe_dump(config_to_dict(config)))
    assert build_train_config(plain) == config


def test_overrides_reach_inner_keys_and_stages_by_name_and_number(file: Path):
    overrides = ["data.workers=0", "stages.first.steps=7", "stages.0.weights.grid=0.5", "run=x"]
    config = load_train_config(file, overrides)
    assert (config.data.workers, config.run) == (0, "x")
    assert (config.stages[0].steps, config.stages[0].weights.grid) == (7, 0.5)


def test_an_unquoted_no_is_the_word(file: Path):
    assert load_train_config(file, ["precision=no"]).precision == "no"


def test_numbers_that_yaml_reads_as_text_are_numbers(file: Path):
    assert load_train_config(file).stages[0].lr == 1e-3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sede=1", "did you mean seed"),
        ("data.worker=1", "did you mean workers"),
        ("stages.first.weights.gird=1", "did you mean grid"),
        ("stages.second.steps=1", "no stage 'second'; there are first"),
        ("seed=much", "must be a whole number"),
        ("seed=true", "must be a whole number"),
        ("stages.first.lr=fast", "must be a number"),
        ("precision=half", "one of no, bf16, fp16"),
        ("stages.first.steps=0", "at least 1"),
        ("seed.inner=1", "is 0|must be|below"),
        ("seed", "key.inner=value"),
        ("stages.first.weights.prior=1", "teacher"),
    ],
)
def test_a_wrong_value_or_key_says_what_is_allowed(file: Path, override: str, message: str):
    with pytest.raises(ConfigError, match=message):
        load_train_config(file, [override])


def test_a_missing_file_is_a_config_error(tmp_path: Path):
    with pytest.raises(ConfigError, match="no config file"):
        load_train_config(tmp_path / "none.yaml")


def test_a_stage_without_steps_is_told_what_is_missing():
    with pytest.raises(ConfigError, match="'steps' is missing"):
        build_train_config({"stages": [{"name": "first"}]})


def test_differing_fields_are_named_by_their_path():
    old, new = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": 3}
    assert differing_fields(old, new) == ["a.c", "d", "e"]
