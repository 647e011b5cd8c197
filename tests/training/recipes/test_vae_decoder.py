import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from tests.training.folders import OneSample, save_folder
from vsr.checkpoints.load import load_pipeline
from vsr.errors import ConfigError, ModelError
from vsr.models.vae import AutoencoderKLVideo
from vsr.training.config import StageConfig, TrainConfig
from vsr.training.config_file import build_train_config
from vsr.training.engine.checkpoint import checkpoint_folders, load_checkpoint
from vsr.training.export import export
from vsr.training.loop import run_training
from vsr.training.recipe_config import VaeDecoderConfig
from vsr.training.recipes.build import completed
from vsr.training.recipes.vae_decoder import VaeDecoderRecipe, widened

STEPS = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folder(tmp_path_factory.mktemp("images"))


def config(folder: Path, photos: Path, run: Path, **changes: Any) -> TrainConfig:
    stage = {"crop": 8, "frames": 3, "batch": 1, "lr": 3e-3, "warmup": 1, "schedule": "constant"}
    stage["train"] = ["vae.decoder.*", "vae.post_quant_conv.*"]
    judged = {"weights": {"pixel": 1, "adversarial": 0.01}, "critic": {"lr": 1e-3, "head_start": 1}}
    values: dict[str, Any] = {
        "recipe": "vae_decoder",
        "init": str(folder),
        "run": str(run),
        "device": "cpu",
        "precision": "no",
        "data": {"photos": str(photos), "clips": None, "workers": 0, "held_out_every": 3},
        "vae_decoder": {"temporal_kernel": [3, 3, 3], "condition_channels": 4},
        "adversarial": {"channels": 4, "depth": 2},
        "validation": {"every": 99, "samples": 1, "crop": 8, "frames": 3, "best": "psnr"},
        "stages": [
            {**stage, "name": "pixels", "steps": STEPS},
            {**stage, "name": "sharp", "steps": 4, **judged},
        ],
        "log_every": 1,
        "save_every": STEPS + 2,
    }
    return completed(build_train_config({**values, **changes}))


class Overfit(VaeDecoderRecipe):
    """On one sample; it can die in a certain micro-batch."""

    calls, dies_at = 0, 0

    def dataset(self, stage: StageConfig) -> Dataset[dict[str, torch.Tensor]]:
        return OneSample(super().dataset(stage))

    def terms(self, *args: Any) -> dict[str, torch.Tensor]:
        self.calls += 1
        if self.calls == self.dies_at:
            raise KeyboardInterrupt
        return super().terms(*args)


def overfit(chosen: TrainConfig) -> Overfit:
    torch.manual_seed(0)  # new layers are drawn
    return Overfit(chosen, torch.device("cpu"))


@pytest.fixture(scope="module")
def run(folder: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    chosen = config(folder, photos, tmp_path_factory.mktemp("run"))
    return run_training(chosen, overfit(chosen))


def test_a_widened_decoder_makes_the_same_frames_until_it_trains(folder: Path):
    source = load_pipeline(folder, device="cpu").vae
    shape = {**source.config, "temporal_kernel": [3, 3, 3], "condition_channels": 4}
    wide = widened(source, AutoencoderKLVideo.from_config(shape))
    assert sum(p.numel() for p in wide.parameters()) > sum(p.numel() for p in source.parameters())
    latents, lr = torch.randn(1, 4, 3, 8, 8), torch.rand(1, 3, 3, 8, 8)
    wanted = source.decode(latents, lr).sample
    torch.testing.assert_close(wide.decode(latents, lr).sample, wanted)
    other = AutoencoderKLVideo.from_config({**shape, "layers_per_block": 2})
    with pytest.raises(ModelError, match=r"cannot be widened: encoder.*resnets\.1.* differs"):
        widened(source, other)


def test_layers_that_a_decoder_has_cannot_be_asked_for_in_another_shape(folder: Path):
    stage = {"name": "one", "steps": 1}
    values = {"stages": [stage], "recipe": "vae_decoder", "init": str(folder)}
    asked = {"vae_decoder": {"temporal_kernel": [3, 1, 1], "condition_channels": 8}}
    wide = completed(build_train_config({**values, **asked}))
    assert wide.model.vae["temporal_kernel"] == [3, 1, 1]
    assert completed(wide) == wide
    other = VaeDecoderConfig(temporal_kernel=(3, 3, 3))
    with pytest.raises(ConfigError, match=r"model\.vae is not what init and vae_decoder make"):
        completed(dataclasses.replace(wide, vae_decoder=other))
    with pytest.raises(ConfigError, match=r"temporal_kernel is \[3, 3, 3\], .* has \[3, 1, 1\]"):
        completed(dataclasses.replace(wide, vae_decoder=other, init=None))


def test_the_loss_falls_and_the_encoder_stays(run: Path, folder: Path):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    pixel = [line["pixel"] for line in lines if line.get("stage") == "pixels"]
    assert sum(pixel[-4:]) < 0.75 * sum(pixel[:4])
    assert all("critic" in line for line in lines if line.get("stage") == "sharp")
    trained = load_checkpoint(checkpoint_folders(run)[-1]).model
    begun = load_pipeline(folder, device="cpu").vae.state_dict()
    for name, value in begun.items():
        same = torch.equal(trained[f"vae.{name}"], value)
        assert same == name.startswith(("encoder", "quant_conv")), name


def test_a_killed_run_with_its_critic_goes_on_bit_for_bit(
    run: Path, folder: Path, photos: Path, tmp_path: Path
):
    chosen = config(folder, photos, tmp_path)
    dying = overfit(chosen)
    dying.dies_at = STEPS + 4
    with pytest.raises(KeyboardInterrupt):
        run_training(chosen, dying)
    run_training(chosen, Overfit(chosen, torch.device("cpu")))
    whole, killed = (load_checkpoint(checkpoint_folders(r)[-1]) for r in (run, tmp_path))
    for part in ("model", "ema", "critic"):
        ours, theirs = getattr(whole, part), getattr(killed, part)
        assert ours and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_errors_of_latents_are_as_strong_as_asked_and_belong_to_the_sample(
    folder: Path, photos: Path, tmp_path: Path
):
    recipe = VaeDecoderRecipe(
        config(folder, photos, tmp_path, vae_decoder={"latent_error": 0.5}), torch.device("cpu")
    )
    hr = torch.rand(1, 3, 3, 32, 32).expand(6, -1, -1, -1, -1)
    errors = recipe.latents(hr, torch.arange(6)) - recipe._encode(hr)
    spread = errors.flatten(1).std(dim=1)
    assert spread.max() <= 0.55 and spread.min() > 0 and spread.max() > 3 * spread.min()
    again = recipe.latents(hr[2:3], torch.tensor([2])) - recipe._encode(hr[2:3])
    torch.testing.assert_close(again[0], errors[2])


def test_an_exported_decoder_runs_in_the_folders_pipeline(run: Path, folder: Path, tmp_path: Path):
    export(run, tmp_path)
    pipe, before = (load_pipeline(path, device="cpu") for path in (tmp_path, folder))
    assert pipe.vae.config["condition_channels"] == 4
    assert pipe.settings == before.settings
    for name, value in before.unet.state_dict().items():
        torch.testing.assert_close(pipe.unet.state_dict()[name], value.half().float())
    frames = np.zeros((4, 8, 10, 3), np.uint8)
    assert pipe(frames, num_inference_steps=1).frames.shape == (4, 32, 40, 3)
