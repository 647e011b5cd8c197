"""The recipe that trains the temporal layers of a diffusion U-Net."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.data import Dataset

from vsr.checkpoints.load import load_pipeline
from vsr.errors import ConfigError
from vsr.models.blocks import channels_innermost
from vsr.models.text import embed_prompt
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo
from vsr.models.weight_files import read_state
from vsr.pipelines.sampling import denoise, noise_low_res
from vsr.pipelines.schedule import is_flow_matching, make_schedule
from vsr.pipelines.video import VideoUpscalePipeline
from vsr.training.config import NoiseConfig, StageConfig, TrainConfig
from vsr.training.data.latent_clips import LatentClips
from vsr.training.data.sampler import Numbered, sample_generator
from vsr.training.engine.recipe import Batch
from vsr.training.recipes.clip_recipe import HELD_OUT, ClipRecipe
from vsr.training.recipes.networks import initial_networks, model_folder_of, named_path
from vsr.training.recipes.noise import draw_levels, normal_like

EMPTY_PROMPT = "empty"
"""Name of the empty prompt's embedding in a file of embeddings."""
LOSS_STEPS = 8
"""Number of evenly spaced timesteps at which the validation loss is measured."""


class Denoiser(nn.Module):
    """The trained module: a U-Net whose parameters are named `unet.*`."""

    def __init__(self, unet: UNetVideoModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(
        self,
        latents: Float[Tensor, "b c t h w"],
        timestep: Int[Tensor, " b"],
        *,
        low_res: Float[Tensor, "b 3 t h w"],
        level: Int[Tensor, " b"],
        text: Float[Tensor, "b n d"] | None,
    ) -> Float[Tensor, "b c t h w"]:
        """The prediction of the U-Net; `level` is the noise level of `low_res`."""
        return self.unet(
            latents, timestep, low_res=low_res, class_labels=level, encoder_hidden_states=text
        ).sample


class TemporalRecipe(ClipRecipe):
    """Trains a U-Net on noised latents of clips, as Upscale-A-Video does (Zhou et al. 2024, 3.1).

    The loss is the mean squared error of the prediction (velocity, noise or clean latents, by the
    scheduler's prediction type) at uniformly drawn timesteps. The small frames get noise of a drawn
    level, which the U-Net receives too. A share of the samples gets the empty prompt, as
    classifier-free guidance requires. Each stage selects the layers that train:
    `train: ["unet.*temp*"]` selects the temporal ones.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        unet, vae = initial_networks(config)
        super().__init__(config, Denoiser(unet), device)
        frozen: Any = vae.requires_grad_(False).eval()
        self.vae: AutoencoderKLVideo = channels_innermost(frozen.to(device))
        pipe = _beginning(config)
        self.scheduler, self.low_res_scheduler = training_schedulers(config, pipe)
        highest = unet.config["max_noise_level"]
        if config.noise.max_level > highest:
            raise ConfigError(
                f"noise.max_level is {config.noise.max_level}; this U-Net takes 0 to {highest}"
            )
        wants_text = unet.config["cross_attention_dim"] is not None
        self.empty_prompt = _empty_prompt(config, pipe).to(device) if wants_text else None

    def dataset(self, stage: StageConfig) -> Dataset[dict[str, Tensor]]:
        """An endless set of samples for a stage, from the folder `data.latents` if that is set."""
        folder = self.config.data.latents
        if folder is None:
            return super().dataset(stage)
        seed = self.config.seed + 1000 * self.config.stages.index(stage)
        clips = LatentClips(Path(folder), crop=stage.crop, frames=stage.frames, seed=seed)
        clips.check_encoder(self.vae)
        return Numbered(clips)

    def terms(self, model: nn.Module, batch: Batch, stage: StageConfig) -> dict[str, Tensor]:
        """The only term of the loss, `denoise`."""
        clean = batch["latents"] if "latents" in batch else self.encode(batch["hr"])
        numbers = batch["index"].tolist()
        generators = [sample_generator(self.config.seed, n, clean.device) for n in numbers]
        draws = [sample_generator(self.config.seed + 1, n) for n in numbers]
        count = self.scheduler.config["num_train_timesteps"]
        timesteps = torch.stack([torch.randint(count, (), generator=g) for g in draws])
        levels = draw_levels(self.config.noise, draws)
        dropped = torch.stack([torch.rand((), generator=g) for g in draws])
        return {
            "denoise": self.loss(
                model,
                clean,
                noise=normal_like(clean, generators),
                timesteps=timesteps.to(clean.device),
                low_res=self.add_low_res_noise(batch["lr"], levels, generators),
                levels=levels.to(clean.device),
                text=self.text(batch, dropped < self.config.diffusion.prompt_dropout),
            )
        }

    def loss(
        self,
        model: nn.Module,
        clean: Float[Tensor, "b c t h w"],
        *,
        noise: Float[Tensor, "b c t h w"],
        timesteps: Int[Tensor, " b"],
        low_res: Float[Tensor, "b 3 t h w"],
        levels: Int[Tensor, " b"],
        text: Float[Tensor, "b n d"] | None,
    ) -> Float[Tensor, ""]:
        """Mean squared error of the prediction at these timesteps."""
        steps: Any = timesteps.cpu()  # the schedule's tables are on the CPU
        noised = self.scheduler.add_noise(clean, noise, steps)
        output = model(noised, timesteps, low_res=low_res, level=levels, text=text)
        kind = self.scheduler.config["prediction_type"]
        if kind == "v_prediction":
            target = self.scheduler.get_velocity(clean, noise, steps)
        else:
            target = noise if kind == "epsilon" else clean
        return F.mse_loss(output.float(), target)

    def add_low_res_noise(
        self,
        low_res: Float[Tensor, "b 3 t h w"],
        levels: Int[Tensor, " b"],
        generators: Sequence[torch.Generator],
    ) -> Float[Tensor, "b 3 t h w"]:
        """Small frames with noise of their levels; level 0 adds none."""
        return noise_low_res(
            low_res, normal_like(low_res, generators), levels, scheduler=self.low_res_scheduler
        )

    def text(
        self, batch: Batch, dropped: torch.Tensor | None = None
    ) -> Float[Tensor, "b n d"] | None:
        """Text of each sample for the U-Net: its `prompt` embedding, or the empty prompt's."""
        if self.empty_prompt is None:
            return None
        empty = self.empty_prompt.expand(len(batch["lr"]), -1, -1)
        if "prompt" not in batch or dropped is None:
            return empty
        return torch.where(dropped.to(empty.device).view(-1, 1, 1), empty, batch["prompt"])

    @torch.no_grad()
    def encode(self, frames: Float[Tensor, "b 3 t h4 w4"]) -> Float[Tensor, "b c t h w"]:
        """The clean latents of large frames, scaled for the U-Net."""
        with self.autocast():
            return self.vae.encode_scaled(frames).float()

    def validate(self, model: nn.Module, run_step: int) -> dict[str, float]:
        """The loss on held-out samples at fixed noise, and figures of clips sampled from noise."""
        figures = super().validate(model, run_step)
        assert self.validator is not None, "the figures came from there"
        losses = [self.held_out_loss(model, sample) for sample in self.validator.samples]
        return {"loss": sum(losses) / len(losses), **figures}

    def held_out_loss(self, model: nn.Module, sample: Batch) -> float:
        """The loss on one sample: the same noise at every call, timesteps over the whole range."""
        lr, hr = (sample[name][None].to(self.device) for name in ("lr", "hr"))
        clean = self.encode(hr)
        count = self.scheduler.config["num_train_timesteps"]
        losses: list[float] = []
        for part in range(LOSS_STEPS):
            number = int(sample["index"]) * LOSS_STEPS + part
            generators = [sample_generator(self.config.seed + HELD_OUT, number, clean.device)]
            noise = normal_like(clean, generators)
            low_res, levels = self.sampling_low_res(lr, generators)
            timestep = torch.tensor([int((part + 0.5) * count / LOSS_STEPS)], device=clean.device)
            with self.autocast():
                loss = self.loss(
                    model,
                    clean,
                    noise=noise,
                    timesteps=timestep,
                    low_res=low_res,
                    levels=levels,
                    text=self.text({"lr": lr}),
                )
            losses.append(float(loss))
        return sum(losses) / len(losses)

    def restore(
        self, model: nn.Module, sample: Batch, generator: torch.Generator
    ) -> Float[Tensor, "3 t h w"]:
        """The frames of a sample, denoised from pure noise in `diffusion.sampling_steps` steps."""
        lr = sample["lr"][None].to(self.device)
        low_res, levels = self.sampling_low_res(lr, [generator])
        channels = self.vae.config["latent_channels"]
        start = torch.randn(1, channels, *lr.shape[2:], generator=generator).to(self.device)
        text = self.text({"lr": lr})

        def predict(latents: Tensor, timestep: Tensor) -> Tensor:
            at = timestep.to(self.device).expand(1)
            return model(latents, at, low_res=low_res, level=levels, text=text).float()

        steps = self.config.diffusion.sampling_steps
        schedule = make_schedule(self.scheduler, steps, device=self.device)
        prediction = self.scheduler.config["prediction_type"]
        latents = denoise(start, predict=predict, schedule=schedule, prediction=prediction)
        return self.vae.decode_frames(latents, lr)[0]

    def sampling_low_res(
        self, lr: Float[Tensor, "1 3 t h w"], generators: Sequence[torch.Generator]
    ) -> tuple[Float[Tensor, "1 3 t h w"], Int[Tensor, "1"]]:
        """Small frames with the noise of `diffusion.sampling_level`, and that level."""
        level = torch.tensor([self.config.diffusion.sampling_level])
        return self.add_low_res_noise(lr, level, generators), level.to(lr.device)


def training_schedulers(
    config: TrainConfig, pipe: VideoUpscalePipeline | None
) -> tuple[DDIMScheduler, DDPMScheduler]:
    """The noise schedules of latents and of small frames: those of `pipe`, else by `noise`.

    Raises `ConfigError` for a flow-matching model, which this recipe does not support.
    """
    if pipe is None:
        schedule = noise_schedule(config.noise)
        return (
            DDIMScheduler(
                **schedule,
                prediction_type=config.diffusion.prediction,
                clip_sample=False,
                steps_offset=1,
            ),
            DDPMScheduler(**schedule),
        )
    if is_flow_matching(pipe.scheduler):
        raise ConfigError(
            f"{config.init} samples by {type(pipe.scheduler).__name__}; the recipe temporal trains "
            "models whose scheduler adds noise by timesteps, such as DDIM"
        )
    own: Any = DDIMScheduler.from_config(pipe.scheduler.config)
    low_res: Any = DDPMScheduler.from_config(pipe.low_res_scheduler.config)
    return own, low_res


def fresh_pipeline(
    config: TrainConfig, unet: UNetVideoModel, vae: AutoencoderKLVideo
) -> VideoUpscalePipeline:
    """The pipeline of a run without an initial model folder; it samples like validation."""
    return VideoUpscalePipeline(
        unet,
        vae,
        *training_schedulers(config, None),
        sampling={
            "prediction": config.diffusion.prediction,
            "num_inference_steps": config.diffusion.sampling_steps,
            "noise_level": config.diffusion.sampling_level,
            "guidance_scale": 1.0,
            "prompt_suffix": "",
            "negative_prompt": "",
        },
    )


def noise_schedule(noise: NoiseConfig) -> dict[str, Any]:
    """Scaled linear betas, as arguments of a scheduler's constructor."""
    return {
        "num_train_timesteps": noise.levels,
        "beta_start": noise.beta_start,
        "beta_end": noise.beta_end,
        "beta_schedule": "scaled_linear",
    }


def _beginning(config: TrainConfig) -> VideoUpscalePipeline | None:
    """The pipeline of the model folder that a run starts from; None without `init`."""
    if config.init is None:
        return None
    return load_pipeline(model_folder_of(named_path(config.init)), device="cpu")


def _empty_prompt(config: TrainConfig, pipe: VideoUpscalePipeline | None) -> Float[Tensor, "1 n d"]:
    """The embedding of the empty prompt: from the file of embeddings, or by the text encoder."""
    prompts = config.diffusion.prompts
    if prompts is not None:
        embeddings: Mapping[str, Tensor] = read_state(Path(prompts))
        if EMPTY_PROMPT not in embeddings:
            raise ConfigError(f"diffusion.prompts: {prompts} has no tensor {EMPTY_PROMPT!r}")
        return embeddings[EMPTY_PROMPT][None].float()
    if pipe is None or pipe.text_encoder is None:
        raise ConfigError(
            "this U-Net attends to text and there is no text encoder: name a file of embeddings "
            "in diffusion.prompts"
        )
    return embed_prompt(pipe.text_encoder, pipe.tokenizer, "").float()
