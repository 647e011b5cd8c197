from pathlib import Path

import pytest
import torch

from tests.training.small import UNET, VAE, values
from vsr.errors import ConfigError, InputError, ModelError
from vsr.training.config import NoiseConfig
from vsr.training.config_file import build_train_config
from vsr.training.engine.checkpoint import find_checkpoint, load_checkpoint
from vsr.training.export import export, one_step_pipeline
from vsr.training.loop import run_training
from vsr.training.recipes.networks import (
    build_networks,
    initial_networks,
    load_networks,
    model_folder_of,
    with_shapes_of_init,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder in half precision, as people download them."""
    torch.manual_seed(0)
    shapes = build_train_config({"model": {"unet": UNET, "vae": VAE}, "stages": [_STAGE]}).model
    unet, vae = build_networks(shapes)
    path = tmp_path_factory.mktemp("model")
    one_step_pipeline(unet.half(), vae.half(), NoiseConfig()).save_pretrained(path)
    return path


_STAGE = {"name": "one", "steps": 2, "crop": 16, "frames": 3, "batch": 2, "warmup": 1}


def test_a_model_folder_gives_shapes_and_weights_in_float32(folder: Path):
    config = build_train_config({"stages": [_STAGE], "init": str(folder)})
    resolved = with_shapes_of_init(config)
    assert resolved.model.unet["block_out_channels"] == [16, 16]
    unet, vae = initial_networks(resolved)
    wanted = load_networks(folder)
    assert unet.dtype == vae.dtype == torch.float32
    for network, other in zip((unet, vae), wanted, strict=True):
        theirs = other.state_dict()
        assert all(torch.equal(v, theirs[k]) for k, v in network.state_dict().items())


def test_shapes_that_the_config_names_must_be_those_of_the_folder(folder: Path):
    values = {"stages": [_STAGE], "init": str(folder), "model": {"unet": UNET, "vae": VAE}}
    with_shapes_of_init(build_train_config(values))
    wrong = {"unet": {**UNET, "num_heads": [1, 2]}, "vae": {}}
    with pytest.raises(ConfigError, match=r"model\.unet differs .* in num_heads;"):
        with_shapes_of_init(build_train_config({**values, "model": wrong}))


def test_a_run_goes_on_from_the_averaged_weights_of_another(
    folder: Path, photos: Path, tmp_path: Path
):
    first = values(photos, tmp_path / "first", model={}, init=str(folder), stages=[_STAGE])
    run = run_training(build_train_config(first))
    averaged = load_checkpoint(find_checkpoint(run)).ema
    for source in (run, find_checkpoint(run)):
        second = build_train_config({"stages": [_STAGE], "init": str(source)})
        unet, vae = initial_networks(with_shapes_of_init(second))
        for name, network in (("unet", unet), ("vae", vae)):
            for key, value in network.named_parameters():
                assert torch.equal(value, averaged[f"{name}.{key}"])
    assert model_folder_of(run) == folder
    assert export(run, tmp_path / "exported") == find_checkpoint(run)


def test_what_cannot_be_an_init_is_named(folder: Path, tmp_path: Path):
    with pytest.raises(InputError, match="holds no checkpoint"):
        load_networks(tmp_path)
    with pytest.raises(ConfigError, match=r"no file 'nowhere'; .* a model folder, a run"):
        initial_networks(build_train_config({"stages": [_STAGE], "init": "nowhere"}))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model_index.json").write_text("{}")
    with pytest.raises(ModelError, match=r"no unet/config\.json"):
        with_shapes_of_init(build_train_config({"stages": [_STAGE], "init": str(broken)}))
