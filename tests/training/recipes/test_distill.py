import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from tests.training import small
from tests.training.folders import OneSample, save_folder
from vsr.checkpoints.load import load_pipeline
from vsr.cli import main
from vsr.errors import ConfigError
from vsr.pipelines.video import VideoUpscalePipeline
from vsr.training.config import ModelConfig, NoiseConfig, StageConfig, TrainConfig
from vsr.training.config_file import build_train_config
from vsr.training.engine.checkpoint import checkpoint_folders, load_checkpoint
from vsr.training.export import export, one_step_pipeline
from vsr.training.loop import run_training
from vsr.training.recipes.build import completed
from vsr.training.recipes.distill import DistillRecipe
from vsr.training.recipes.networks import build_networks

STEPS = 10
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folder(
        tmp_path_factory.mktemp("teacher"), propagation_steps=(1,), num_inference_steps=3
    )


def config(folder: Path, photos: Path, run: Path, **changes: Any) -> TrainConfig:
    stage = {"crop": 8, "frames": 2, "batch": 1, "lr": 5e-3, "warmup": 1, "schedule": "constant"}
    judged = {"latent": 1, "pixel": 0, "adversarial": 0.1, "matching": 0.1}
    values: dict[str, Any] = {
        "recipe": "distill",
        "init": str(folder),
        "run": str(run),
        "device": "cpu",
        "precision": "no",
        "data": {"photos": str(photos), "clips": None, "workers": 0, "held_out_every": 3},
        "distill": {"steps": 2, "space": "latent"},
        "adversarial": {"channels": 4, "depth": 1, "r1": 0.1, "r2": 0.1},
        "validation": {"every": 99, "samples": 1, "crop": 8, "frames": 2, "best": "psnr"},
        "stages": [
            {**stage, "name": "regression", "steps": STEPS, "weights": {"latent": 1, "pixel": 0}},
            {**stage, "name": "frames", "steps": 1, "weights": {"pixel": 1, "gradient": 0.5}},
            {**stage, "name": "sharp", "steps": 3, "weights": judged, "critic": {"head_start": 1}},
        ],
        "log_every": 1,
        "save_every": STEPS + 3,
    }
    return completed(build_train_config({**values, **changes}))


class Overfit(DistillRecipe):
    """On one sample with the same noise; it can die in a certain micro-batch."""

    calls, dies_at = 0, 0

    def dataset(self, stage: StageConfig) -> Dataset[dict[str, torch.Tensor]]:
        return OneSample(super().dataset(stage), number=0)

    def terms(self, *args: Any) -> dict[str, torch.Tensor]:
        self.calls += 1
        if self.calls == self.dies_at:
            raise KeyboardInterrupt
        return super().terms(*args)


@pytest.fixture(scope="module")
def run(folder: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    chosen = config(folder, photos, tmp_path_factory.mktemp("run"))
    return run_training(chosen, Overfit(chosen, CPU))


def recipe(folder: Path, photos: Path, run: Path, **changes: Any) -> DistillRecipe:
    return DistillRecipe(config(folder, photos, run, **changes), CPU)


def test_the_regression_falls_and_every_stage_has_its_terms(run: Path):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    latent = [line["latent"] for line in lines if line["stage"] == "regression"]
    assert sum(latent[-4:]) < 0.7 * sum(latent[:4])
    named = {line["stage"]: line.keys() for line in lines}
    assert {"pixel", "gradient"} <= named["frames"] and "latent" not in named["frames"]
    assert {"latent", "adversarial", "matching", "critic", "r1", "r2"} <= named["sharp"]


def test_a_killed_run_with_its_critic_goes_on_bit_for_bit(
    run: Path, folder: Path, photos: Path, tmp_path: Path
):
    chosen = config(folder, photos, tmp_path)
    dying = Overfit(chosen, CPU)
    dying.dies_at = STEPS + 4
    with pytest.raises(KeyboardInterrupt):
        run_training(chosen, dying)
    run_training(chosen, Overfit(chosen, CPU))
    whole, killed = (load_checkpoint(checkpoint_folders(r)[-1]) for r in (run, tmp_path))
    for part in ("model", "ema", "critic"):
        ours, theirs = getattr(whole, part), getattr(killed, part)
        assert ours and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_teacher_samples_as_its_own_pipeline_does(folder: Path, photos: Path, tmp_path: Path):
    distill = recipe(folder, photos, tmp_path, noise={"level_probability": 0.0})
    lr = torch.rand(2, 3, 2, 8, 10) * 2 - 1
    start = distill.start(lr, torch.tensor([4, 5]))
    pipe = load_pipeline(folder, device="cpu")
    wanted = [
        pipe(
            lr[i : i + 1],
            latents=start.latents[i : i + 1],
            noise_level=0,
            propagation_steps=(),
            output_type="pt",
        ).latents
        for i in range(2)
    ]
    torch.testing.assert_close(distill.teach(start), torch.cat(wanted))


def test_the_students_steps_are_those_of_the_pipeline_that_it_becomes(
    folder: Path, photos: Path, tmp_path: Path
):
    """Whose x0 of every step, put into the next, gives the pipeline's latents."""
    distill = recipe(folder, photos, tmp_path, noise={"level_probability": 0.0})
    lr = torch.rand(1, 3, 2, 8, 10) * 2 - 1
    start = distill.start(lr, torch.tensor([4]))
    assert distill.schedule.timesteps.tolist() == [999, 499]
    first = distill.predict(distill.model, start, torch.zeros_like(start.latents), step=0)
    mixture = distill.schedule.mixtures[0]
    noise = (start.latents - mixture.signal * first) / mixture.noise
    start = type(start)(noise, start.low_res, start.level, start.base)
    second = distill.predict(distill.model, start, first, step=1)
    student = _student(distill)
    found = student(
        lr, latents=distill.start(lr, torch.tensor([4])).latents, noise_level=0,
        propagation_steps=(), output_type="pt",
    ).latents  # fmt: skip
    torch.testing.assert_close(found, second, atol=2e-5, rtol=1e-4)


def _student(distill: DistillRecipe) -> VideoUpscalePipeline:
    from vsr.training.recipes.distill import student_pipeline

    return student_pipeline(distill.teacher, distill.model.unet, distill.teacher.vae, steps=2)


def test_a_model_that_starts_at_the_small_frames_is_distilled_likewise(
    photos: Path, tmp_path: Path
):
    folder = save_folder(tmp_path / "m", start="low_res", start_strength=0.1, prediction="sample")
    distill = recipe(folder, photos, tmp_path, distill={"steps": 1, "space": "pixel"})
    batch = {
        "lr": torch.rand(1, 3, 2, 8, 8),
        "hr": torch.rand(1, 3, 2, 32, 32),
        "index": torch.tensor([3]),
    }
    stage = {"name": "s", "steps": 1, "weights": {"latent": 1, "pixel": 0, "adversarial": 0.1}}
    chosen = build_train_config({"stages": [stage], "recipe": "distill"}).stages[0]
    terms = distill.terms(distill.model, batch, chosen)
    assert {"latent", "adversarial"} <= terms.keys()
    assert distill.adversary is not None and distill.critic_terms(batch, chosen)["critic"] > 0
    start = distill.start(batch["lr"], batch["index"])
    assert start.base is not None
    torch.testing.assert_close(start.latents.std(), start.base.std(), atol=0.2, rtol=0)


def test_a_flow_matching_model_of_packed_latents_is_distilled_likewise(
    photos: Path, tmp_path: Path
):
    shapes = ModelConfig(unet=small.UNET, vae=small.VAE)
    unet, vae = build_networks(shapes)
    torch.nn.init.normal_(unet.conv_out.weight, std=0.05)
    one_step_pipeline(unet, vae, NoiseConfig()).save_pretrained(tmp_path / "m")
    chosen = {"distill": {"steps": 2, "teacher_steps": 3}, "noise": {"level_probability": 0.0}}
    distill = recipe(tmp_path / "m", photos, tmp_path, **chosen)
    lr = torch.rand(1, 3, 2, 8, 8) * 2 - 1
    start = distill.start(lr, torch.tensor([4]))
    taught = distill.teach(start)
    assert distill.schedule.timesteps.tolist() == [1000, 500]
    pipe = load_pipeline(tmp_path / "m", device="cpu")
    call = {"latents": start.latents, "propagation_steps": (), "output_type": "pt"}
    torch.testing.assert_close(taught, pipe(lr, num_inference_steps=3, **call).latents)
    middle = 0.5 * taught + 0.5 * start.latents
    found = distill.predict(distill.model, start, taught, step=1)
    wanted = (
        start.base + unet(middle, torch.tensor(500.0), low_res=lr, class_labels=start.level).sample
    )
    torch.testing.assert_close(found, wanted)


def test_an_exported_student_samples_in_its_few_steps(run: Path, folder: Path, tmp_path: Path):
    export(run, tmp_path)
    pipe = load_pipeline(tmp_path, device="cpu")
    assert pipe.settings.num_inference_steps == 2 and pipe.settings.guidance_scale == 1.0
    assert pipe.settings.propagation_steps == (1,)
    assert pipe.scheduler.config["timestep_spacing"] == "trailing"
    averaged = load_checkpoint(checkpoint_folders(run)[-1]).ema
    for name, value in pipe.unet.named_parameters():
        torch.testing.assert_close(value, averaged[f"unet.{name}"].half().float())
    frames = np.zeros((3, 8, 10, 3), np.uint8)
    assert pipe(frames, propagation_steps=()).frames.shape == (3, 32, 40, 3)


def test_the_command_line_exports_a_run(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    assert main(["export", str(run), str(tmp_path / "model")]) == 0
    assert load_pipeline(tmp_path / "model", device="cpu").settings.num_inference_steps == 2
    assert str(tmp_path / "model") in capfd.readouterr().out
    assert main(["export", str(tmp_path), str(tmp_path / "other")]) == 1
    assert "holds no checkpoint" in capfd.readouterr().err


def test_a_teacher_that_is_no_model_folder_is_named(folder: Path, photos: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="teacher is 'nowhere'; it must be a model folder"):
        recipe(folder, photos, tmp_path, teacher="nowhere")
    with pytest.raises(ConfigError, match=r"max_level is 900; this U-Net takes 0 to 350"):
        recipe(folder, photos, tmp_path, noise={"max_level": 900})
    with pytest.raises(ConfigError, match=r"distill\.steps is 5"):
        config(folder, photos, tmp_path, distill={"steps": 5})
