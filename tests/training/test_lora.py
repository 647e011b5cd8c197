"""LoRA of loaded models: trained by the loop, kept beside the model or merged into it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.checkpoints.published_folders import x4_upscaler
from tests.seedvr import save_folder
from tests.training.regression import Regression
from tests.training.regression import config as regression
from vsr.checkpoints.convert import convert
from vsr.checkpoints.load import load
from vsr.checkpoints.lora import WEIGHTS
from vsr.errors import ConfigError, ModelError
from vsr.training.config import LoraConfig
from vsr.training.config_file import build_train_config, config_to_dict
from vsr.training.engine.adapters import add_adapters, is_adapter
from vsr.training.engine.checkpoint import (
    Checkpoint,
    TrainingProgress,
    checkpoint_folders,
    load_checkpoint,
    save_checkpoint,
)
from vsr.training.export import export
from vsr.training.loop import run_training
from vsr.training.recipes.networks import load_networks

peft: Any = pytest.importorskip("peft")

LORA = {"rank": 2, "alpha": 4, "targets": ["0", "3"]}
STAGE = {"name": "s", "batch": 1, "lr": 1e-2, "warmup": 1, "schedule": "constant"}


def newest(run: Path) -> dict[str, Tensor]:
    return load_checkpoint(checkpoint_folders(run)[-1]).model


def train(run: Path, photos: Path, init: Path, **changes: Any) -> Path:
    values = {
        "run": str(run),
        "init": str(init),
        "lora": {"rank": 4, "alpha": 8},
        "device": "cpu",
        "precision": "no",
        "data": {"photos": str(photos), "clips": None, "workers": 0, "held_out_every": 3},
        "log_every": 10,
        **changes,
    }
    return run_training(build_train_config(values))


def test_adapters_alone_train_are_saved_and_resume_bit_for_bit(tmp_path: Path):
    def config(name: str) -> Any:
        return regression(tmp_path / name, lora=LORA, init="a model")

    whole = Regression()
    base = {name: weight.clone() for name, weight in whole.model.state_dict().items()}
    run_training(config("whole"), whole)
    with pytest.raises(KeyboardInterrupt):
        run_training(config("killed"), Regression(dies_at=18))
    run_training(config("killed"), Regression())
    ours, theirs = newest(tmp_path / "whole"), newest(tmp_path / "killed")
    assert len(ours) == 4 and all(is_adapter(name) for name in ours)
    assert all(torch.equal(weight, theirs[name]) for name, weight in ours.items())
    assert any(weight.any() for name, weight in ours.items() if "lora_B" in name)
    after = whole.model.state_dict()
    assert torch.equal(base["0.weight"], after["0.base_layer.weight"])


@pytest.mark.parametrize(
    ("targets", "message"),
    [(["1"], "1 is a SiLU; LoRA takes linear layers"), (["to_q"], "no layer is called to_q")],
)
def test_targets_that_are_no_linear_layers_are_refused(targets: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        add_adapters(Regression().model, LoraConfig(targets=tuple(targets)))


@pytest.mark.slow
def test_a_lora_of_the_x4_upscaler_gives_the_same_kept_merged_and_by_peft(
    photos: Path, tmp_path: Path
):
    folder = convert(x4_upscaler(tmp_path / "x4", (32, 32, 32)), tmp_path / "model")
    prompts = tmp_path / "prompts.safetensors"
    save_file({"empty": torch.full((3, 64), 0.5)}, prompts)
    size = {"crop": 8, "frames": 1}
    train(
        tmp_path / "run",
        photos,
        folder,
        recipe="temporal",
        diffusion={"prompts": str(prompts), "sampling_steps": 2},
        stages=[{**STAGE, **size, "steps": 50}],
        validation={**size, "every": 99, "samples": 1, "best": "loss"},
    )
    export(tmp_path / "run", tmp_path / "lora")
    export(tmp_path / "run", tmp_path / "merged", merge=True)

    def upscaled(pipe: Any) -> Tensor:
        frames = torch.rand(2, 8, 8, 3, generator=torch.Generator().manual_seed(0))
        text = torch.full((1, 3, 64), 0.5)
        settings = {"num_inference_steps": 2, "guidance_scale": 1.0, "propagation_steps": ()}
        return pipe(frames, prompt_embeds=text, output_type="pt", **settings).frames

    plain = upscaled(load(folder, device="cpu", dtype="float32"))
    file = tmp_path / "lora" / WEIGHTS
    kept = load(folder, device="cpu", dtype="float32", lora=str(file))
    by_peft: Any = load(folder, device="cpu", dtype="float32")
    add_adapters(by_peft.unet, LoraConfig(rank=4, alpha=8))
    peft.set_peft_model_state_dict(by_peft.unet, load_file(file))
    assert (upscaled(kept) - plain).abs().max() > 1e-3
    torch.testing.assert_close(upscaled(kept), upscaled(by_peft), atol=1e-5, rtol=0)
    merged: Any = load(tmp_path / "merged", device="cpu", dtype="float32")
    by_run, _ = load_networks(tmp_path / "run")
    for name, weight in by_run.state_dict().items():
        torch.testing.assert_close(weight, kept.unet.state_dict()[name], atol=1e-6, rtol=0)
        assert torch.equal(weight.half().float(), merged.unet.state_dict()[name].float())


def test_weights_of_another_transformer_are_refused_in_one_line(tmp_path: Path):
    folder = save_folder(tmp_path / "model")
    values = {"recipe": "seedvr", "init": str(folder), "stages": [{**STAGE, "steps": 1}]}
    checkpoint = Checkpoint(
        model={"transformer.other": torch.zeros(1)},
        ema={},
        optimizer=None,
        rng=[],
        progress=TrainingProgress(),
        config=config_to_dict(build_train_config(values)),
    )
    save_checkpoint(tmp_path / "run", checkpoint, keep=1)
    with pytest.raises(ModelError, match=r"do not fit its config: .* for NaDiT: Missing key"):
        export(tmp_path / "run", tmp_path / "out")


@pytest.mark.slow
def test_a_lora_of_seedvr_trains_and_changes_the_folder_that_it_is_of(photos: Path, tmp_path: Path):
    folder = save_folder(tmp_path / "model")
    size = {"crop": 8, "frames": 5}
    train(
        tmp_path / "run",
        photos,
        folder,
        recipe="seedvr",
        gradient_checkpointing=True,
        stages=[{**STAGE, **size, "steps": 4}],
        validation={**size, "every": 4, "samples": 1, "best": "psnr"},
    )
    export(tmp_path / "run", tmp_path / "lora")
    export(tmp_path / "run", tmp_path / "merged", merge=True)
    frames = torch.rand(5, 8, 8, 3, generator=torch.Generator().manual_seed(0))

    def upscaled(model: Path, **options: Any) -> Tensor:
        pipe: Any = load(model, device="cpu", dtype="float32", **options)
        return pipe(frames, output_type="pt").frames

    plain = upscaled(folder)
    kept = upscaled(folder, lora=str(tmp_path / "lora"))
    assert (kept - plain).abs().max() > 1e-3
    assert (kept - upscaled(tmp_path / "merged")).abs().max() < 0.02  # half precision
    assert torch.equal(plain, upscaled(folder, lora=f"{tmp_path / 'lora'}=0"))
