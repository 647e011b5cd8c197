"""The temporal recipe: its target, what it is told, what trains, resuming and exporting."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from safetensors.torch import save_file
from torch import nn

from tests.training.small import VAE
from vsr.checkpoints.load import load_pipeline
from vsr.errors import ConfigError
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo
from vsr.pipelines.video import VideoUpscalePipeline
from vsr.training.config import TrainConfig
from vsr.training.config_file import build_train_config
from vsr.training.engine.checkpoint import checkpoint_folders, load_checkpoint
from vsr.training.export import export
from vsr.training.loop import run_training
from vsr.training.recipes.temporal import TemporalRecipe

UNET: dict[str, Any] = {
    "in_channels": 51,
    "out_channels": 48,
    "block_out_channels": [8],
    "layers_per_block": [1],
    "num_heads": [2],
    "attention": ["text"],
    "cross_attention_dim": 6,
    "residual": [True],
    "temporal_blocks": [True],
    "norm_groups": 4,
    "time_embedding_channels": 16,
    "num_class_embeds": 101,
    "max_noise_level": 100,
}
CPU = torch.device("cpu")
STAGE = {"name": "s", "steps": 3, "crop": 8, "frames": 2, "batch": 2, "lr": 1e-2, "warmup": 1}


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.safetensors"
    save_file({"empty": torch.full((3, 6), 0.5)}, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder in half precision whose temporal layers do nothing yet."""
    torch.manual_seed(0)
    schedule = {"beta_schedule": "scaled_linear", "beta_start": 1e-4, "beta_end": 0.02}
    path = tmp_path_factory.mktemp("model")
    VideoUpscalePipeline(
        UNetVideoModel(**UNET).half(),
        AutoencoderKLVideo(**VAE).half(),
        DDIMScheduler(**schedule, prediction_type="v_prediction", clip_sample=False),
        DDPMScheduler(**schedule),
        sampling={"num_inference_steps": 7, "noise_level": 11},
    ).save_pretrained(path)
    return path


def config(folder: Path, photos: Path, prompts: Path, run: Path, **changes: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "recipe": "temporal",
        "run": str(run),
        "device": "cpu",
        "precision": "no",
        "init": str(folder),
        "data": {"photos": str(photos), "clips": None, "workers": 0, "held_out_every": 3},
        "noise": {"level_probability": 0.5, "max_level": 100},
        "diffusion": {"prompts": str(prompts), "sampling_steps": 2},
        "stages": [{**STAGE, "train": ["unet.*temp*"]}],
        "validation": {"every": 3, "samples": 1, "crop": 8, "frames": 2, "best": "loss"},
        "log_every": 1,
        "save_every": 1,
    }
    return build_train_config({**values, **changes})


@pytest.fixture
def recipe(folder: Path, photos: Path, prompts: Path, tmp_path: Path) -> TemporalRecipe:
    return TemporalRecipe(config(folder, photos, prompts, tmp_path), CPU)


class Told(nn.Module):
    """A stand-in for the U-Net that keeps what it is called with."""

    def forward(self, latents: torch.Tensor, timestep: torch.Tensor, **told: Any) -> torch.Tensor:
        self.latents, self.timestep, self.told = latents, timestep, told
        return torch.zeros_like(latents)


def batch_of(recipe: TemporalRecipe, *numbers: int) -> dict[str, torch.Tensor]:
    samples = [recipe.dataset(recipe.config.stages[0])[number] for number in numbers]
    return {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}


def test_the_loss_is_the_distance_from_the_velocity(recipe: TemporalRecipe):
    torch.manual_seed(1)
    clean, noise = torch.randn(2, 48, 2, 8, 8), torch.randn(2, 48, 2, 8, 8)
    timesteps, model = torch.tensor([10, 700]), Told()
    loss = recipe.loss(
        model,
        clean,
        noise=noise,
        timesteps=timesteps,
        low_res=torch.zeros(2, 3, 2, 8, 8),
        levels=torch.zeros(2, dtype=torch.long),
        text=None,
    )
    betas = torch.linspace(1e-4**0.5, 0.02**0.5, 1000) ** 2
    kept = (1 - betas).cumprod(0)[timesteps].view(2, 1, 1, 1, 1)
    a, s = kept.sqrt(), (1 - kept).sqrt()
    torch.testing.assert_close(model.latents, a * clean + s * noise)
    torch.testing.assert_close(loss, (a * noise - s * clean).square().mean())


def test_the_unet_is_told_the_noise_level_of_the_small_frames(recipe: TemporalRecipe):
    batch, model = batch_of(recipe, *range(6)), Told()
    recipe.terms(model, batch, recipe.config.stages[0])
    levels, seen = model.told["level"], model.told["low_res"]
    errors = (seen - batch["lr"]).square().mean(dim=(1, 2, 3, 4)).sqrt()
    assert 0 < int((levels > 0).sum()) < 6 and int(levels.max()) <= 100
    assert torch.equal(errors == 0, levels == 0)


def test_what_a_sample_draws_does_not_depend_on_its_batch(recipe: TemporalRecipe):
    together, alone = Told(), Told()
    recipe.terms(together, batch_of(recipe, 3, 4), recipe.config.stages[0])
    recipe.terms(alone, batch_of(recipe, 4), recipe.config.stages[0])
    assert torch.equal(together.latents[1:], alone.latents)
    assert torch.equal(together.timestep[1:], alone.timestep)


@pytest.mark.parametrize(("dropout", "left"), [(0.0, 8), (1.0, 0)])
def test_prompts_are_left_out_as_often_as_asked(
    folder: Path, photos: Path, prompts: Path, tmp_path: Path, dropout: float, left: int
):
    settings = {"prompts": str(prompts), "prompt_dropout": dropout}
    recipe = TemporalRecipe(config(folder, photos, prompts, tmp_path, diffusion=settings), CPU)
    batch, model = batch_of(recipe, *range(8)), Told()
    recipe.terms(model, {**batch, "prompt": torch.ones(8, 3, 6)}, recipe.config.stages[0])
    own = model.told["text"].mean(dim=(1, 2)) == 1
    assert int(own.sum()) == left


@pytest.fixture(scope="module")
def run(
    folder: Path, photos: Path, prompts: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)
    return run_training(config(folder, photos, prompts, tmp_path_factory.mktemp("run")))


def test_layers_that_see_time_train_and_all_others_stay(run: Path, folder: Path):
    before = load_pipeline(folder, device="cpu").unet.state_dict()
    after = load_checkpoint(checkpoint_folders(run)[-1])
    moved = {
        name
        for name, value in after.model.items()
        if not torch.equal(value, before[name.removeprefix("unet.")])
    }
    assert moved and all("temp" in name for name in moved)
    assert after.ema.keys() >= moved and all("temp" in name for name in after.ema)


def test_a_killed_run_goes_on_to_the_same_weights_bit_for_bit(
    run: Path, folder: Path, photos: Path, prompts: Path, tmp_path: Path
):
    class Killed(TemporalRecipe):
        calls = 0

        def terms(self, *args: Any) -> dict[str, torch.Tensor]:
            self.calls += 1
            if self.calls == 3:
                raise KeyboardInterrupt
            return super().terms(*args)

    settings = config(folder, photos, prompts, tmp_path)
    torch.manual_seed(settings.seed)
    with pytest.raises(KeyboardInterrupt):
        run_training(settings, Killed(settings, CPU))
    run_training(settings)
    whole, killed = (load_checkpoint(checkpoint_folders(path)[-1]) for path in (run, tmp_path))
    for ours, theirs in ((whole.model, killed.model), (whole.ema, killed.ema)):
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_maps_made_again_in_the_backward_pass_change_nothing(
    run: Path, folder: Path, photos: Path, prompts: Path, tmp_path: Path
):
    run_training(config(folder, photos, prompts, tmp_path, gradient_checkpointing=True))
    plain, again = (load_checkpoint(checkpoint_folders(path)[-1]) for path in (run, tmp_path))
    for name, value in plain.model.items():
        torch.testing.assert_close(again.model[name], value)


def test_the_exported_folder_is_the_first_one_with_trained_layers(
    run: Path, folder: Path, tmp_path: Path
):
    export(run, tmp_path)
    first, last = (load_pipeline(path, device="cpu") for path in (folder, tmp_path))
    assert last.settings == first.settings
    assert last.scheduler.config.prediction_type == "v_prediction"
    averaged = load_checkpoint(checkpoint_folders(run)[-1]).ema
    for name, value in last.unet.state_dict().items():
        wanted = averaged.get(f"unet.{name}", first.unet.state_dict()[name])
        assert torch.equal(value, wanted.half().float())
    for name, value in last.vae.state_dict().items():
        assert torch.equal(value, first.vae.state_dict()[name])


def test_a_run_from_nothing_exports_too(photos: Path, prompts: Path, tmp_path: Path):
    shapes = {"unet": {**UNET, "attention": ["full"], "cross_attention_dim": None}, "vae": VAE}
    settings = config(
        prompts, photos, prompts, tmp_path / "run", init=None, model=shapes, stages=[STAGE]
    )
    export(run_training(settings), tmp_path / "model")
    pipe = load_pipeline(tmp_path / "model", device="cpu")
    frames = pipe(torch.zeros(1, 3, 2, 8, 8), output_type="pt").frames
    assert frames.shape == (1, 3, 2, 32, 32) and frames.isfinite().all()


def test_what_cannot_be_trained_so_is_refused(
    folder: Path, photos: Path, prompts: Path, tmp_path: Path
):
    with pytest.raises(ConfigError, match="takes 0 to 100"):
        TemporalRecipe(config(folder, photos, prompts, tmp_path, noise={"max_level": 101}), CPU)
    wordless = {"diffusion": {"prompts": None}}
    with pytest.raises(ConfigError, match="name a file of embeddings"):
        TemporalRecipe(config(folder, photos, prompts, tmp_path, **wordless), CPU)
    embedded = {"init": str(Path("vsr/assets/compact").absolute()), "diffusion": {}}
    with pytest.raises(ConfigError, match="samples by FlowMatch"):
        TemporalRecipe(config(folder, photos, prompts, tmp_path, **embedded), CPU)
