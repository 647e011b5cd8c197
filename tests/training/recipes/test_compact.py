import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file

from tests.training.small import UNET, VAE, values
from vsr.errors import ConfigError, InputError
from vsr.models.blocks import channels_innermost
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo
from vsr.training import train
from vsr.training.config import ModelConfig, TrainConfig
from vsr.training.config_file import build_train_config
from vsr.training.engine.checkpoint import checkpoint_folders, load_checkpoint
from vsr.training.export import export
from vsr.training.loop import run_training
from vsr.training.recipes.compact import CompactRecipe
from vsr.training.recipes.networks import build_networks


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    AcceleratorState._reset_state(True)
    return run_training(build_train_config(values(photos, folder)))


def test_all_stages_run_and_leave_finite_figures_and_pictures(run: Path):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    trained = [line for line in lines if line["kind"] == "train"]
    assert [line["stage"] for line in trained] == ["new", "new", "whole", "whole"]
    assert {"pixel", "gradient", "frequency", "temporal", "grid"} <= trained[0].keys()
    assert all(np.isfinite(line["loss"]) for line in trained)
    scored = [line for line in lines if line["kind"] == "validation"]
    assert [line["step"] for line in scored] == [2, 4]
    picture = cv2.imread(str(run / "pictures" / "00_step_00000004.png"))
    assert picture is not None and picture.shape == (2 * 64, 3 * 64, 3)


def test_an_exported_model_is_the_averaged_weights_in_half_precision(run: Path, tmp_path: Path):
    used = export(run, tmp_path)
    assert used == checkpoint_folders(run)[-1]
    averaged = load_checkpoint(used).ema
    for name, kind in (("unet", UNetVideoModel), ("vae", AutoencoderKLVideo)):
        weights = load_file(tmp_path / name / "diffusion_pytorch_model.safetensors")
        wanted = {k: v.half() for k, v in averaged.items() if k.startswith(f"{name}.")}
        assert wanted.keys() == {f"{name}.{key}" for key in weights}
        assert all(torch.equal(wanted[f"{name}.{key}"], weights[key]) for key in weights)
        kind.from_pretrained(tmp_path / name)


def test_a_run_can_give_a_model_its_weights_for_clean_frames(run: Path, tmp_path: Path):
    export(run, tmp_path)
    unet = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(unet)
    trained = weights["conv_in.weight"].clone()
    save_file(weights | {"conv_in.weight": trained + 1}, unet, metadata={"format": "pt"})
    export(run, tmp_path, clean=True)
    assert torch.equal(load_file(unet)["conv_in.weight"], trained + 1)
    found = load_file(tmp_path / "clean.safetensors")
    assert set(found) == {"unet.conv_in.weight"}
    assert torch.equal(found["unet.conv_in.weight"], trained)


def test_a_folder_without_checkpoints_cannot_be_exported(tmp_path: Path):
    with pytest.raises(InputError, match="no checkpoint"):
        export(tmp_path, tmp_path / "model")


def recipe(photos: Path, tmp_path: Path, **changes: Any) -> tuple[TrainConfig, CompactRecipe]:
    config = build_train_config(values(photos, tmp_path, **changes))
    return config, CompactRecipe(config, torch.device("cpu"))


def test_the_noise_of_a_sample_does_not_depend_on_its_batch(photos: Path, tmp_path: Path):
    _, compact = recipe(photos, tmp_path, noise={"level_probability": 0.7})
    lr = torch.rand(6, 3, 2, 8, 8)
    together = compact.draw_noise(lr, torch.arange(6))
    for number in range(6):
        alone = compact.draw_noise(lr[number : number + 1], torch.tensor([number]))
        assert all(torch.equal(a[0], t[number]) for a, t in zip(alone, together, strict=True))


def test_noise_level_zero_leaves_the_small_frames_alone(photos: Path, tmp_path: Path):
    _, compact = recipe(photos, tmp_path, noise={"level_probability": 0.5})
    lr = torch.rand(12, 3, 2, 8, 8)
    frames, _, levels = compact.draw_noise(lr, torch.arange(12))
    same = (frames == lr).flatten(1).all(dim=1)
    assert torch.equal(same, levels == 0)
    assert 0 < int((levels == 0).sum()) < 12 and int(levels.max()) <= 100


def test_held_out_photographs_are_never_trained_on(photos: Path, tmp_path: Path):
    from vsr.training.recipes.clip_recipe import make_dataset

    config, _ = recipe(photos, tmp_path)
    sets = [
        make_dataset(config.data, 16, 3, seed=0, held_out=held_out) for held_out in (True, False)
    ]
    kept, trained = ({path.name for path in clips.photos.paths} for clips in sets)
    assert kept == {"2.png"} and trained == {"0.png", "1.png"}


def test_half_precision_reaches_every_convolution(photos: Path, tmp_path: Path):
    """A float32 scalar or map that slips in makes all that follows slow."""
    _, compact = recipe(photos, tmp_path)
    seen: dict[str, torch.dtype] = {}
    for name, module in compact.model.named_modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Conv3d | torch.nn.PReLU):
            module.register_forward_hook(
                lambda _m, _i, output, name=name: seen.__setitem__(name, output.dtype)
            )
    with torch.autocast("cpu", torch.bfloat16):
        lr, noise = torch.rand(1, 3, 2, 16, 16), torch.randn(1, 48, 2, 16, 16)
        compact.model(lr, noise, torch.zeros(1, dtype=torch.long))
    assert seen and set(seen.values()) == {torch.bfloat16}


def test_kernels_keep_their_values_with_channels_innermost():
    unet, _ = build_networks(ModelConfig(unet=UNET, vae=VAE))
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    channels_innermost(unet)
    assert unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(before[name], value) for name, value in unet.state_dict().items())


def test_an_unknown_key_of_a_network_is_named():
    with pytest.raises(ConfigError, match=r"model\.unet: unknown key 'chanels'"):
        build_networks(ModelConfig(unet={"chanels": 3}))


def test_a_missing_init_file_is_named_before_training(tmp_path: Path, photos: Path):
    path = tmp_path / "train.yaml"
    path.write_text(json.dumps(values(photos, tmp_path / "run")))
    with pytest.raises(ConfigError, match="init: no file 'nowhere'"):
        train(path, ["init=nowhere"])
