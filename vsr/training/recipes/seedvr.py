"""The recipe that trains SeedVR's transformer, at the steps that its sampler takes."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vsr.checkpoints.index import is_seedvr_folder
from vsr.errors import ConfigError
from vsr.models.seedvr.causal_vae import FRAMES_PER_LATENT, PIXELS_PER_LATENT
from vsr.models.seedvr.nadit import LATENT_CHANNELS, NaDiT
from vsr.pipelines.seedvr.canvas import MULTIPLE, Canvas
from vsr.pipelines.seedvr.folder import read_folder
from vsr.pipelines.seedvr.networks import Networks
from vsr.pipelines.seedvr.pipeline import SEEDVR_SAMPLING
from vsr.pipelines.seedvr.plan import latents_of
from vsr.pipelines.seedvr.sampler import FULL_NOISE, noisy
from vsr.pipelines.seedvr.sampler import sample as sample_latents
from vsr.training.config import StageConfig, TrainConfig
from vsr.training.data.sampler import sample_generator
from vsr.training.engine.recipe import Batch
from vsr.training.recipes.clip_recipe import ClipRecipe
from vsr.training.recipes.networks import named_path

_SCALE = 4


class Velocities(nn.Module):
    """The transformer, whose forward takes a batch of clips one by one."""

    def __init__(self, transformer: NaDiT) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(
        self,
        latents: Float[Tensor, "b t h w c"],
        condition: Float[Tensor, "b t h w c"],
        text: Float[Tensor, "words text_width"],
        timesteps: list[float],
    ) -> Float[Tensor, "b t h w c"]:
        """The velocity of every clip at its timestep."""
        clips = zip(latents, condition, timesteps, strict=True)
        return torch.stack([self.transformer(x, given, text, at) for x, given, at in clips])


class SeedVRRecipe(ClipRecipe):
    """Trains the transformer on the mean squared error of its velocity, noise minus clean latents.

    The timestep of a sample is one of those of the model's sampler: SeedVR2 takes one step, from
    noise alone. A stage with a critic judges the predicted clean latents, which that one step needs
    to stay sharp.
    """

    model: Velocities

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        found = read_folder(seedvr_folder(config), dtype=torch.float32)
        if found.positive is None:
            raise ConfigError(f"init: {config.init} has no text embeddings: convert it again")
        model = Velocities(found.transformer)
        super().__init__(config, model, device, critic_channels=LATENT_CHANNELS)
        frozen: Any = found.vae.requires_grad_(False).eval()
        self.networks = Networks(found.transformer, frozen.to(device), device)
        self.words = found.positive.float().to(device)
        self.steps = int(
            found.sampling.get("num_inference_steps", SEEDVR_SAMPLING.num_inference_steps)
        )
        _check_sizes([(s.name, s.crop, s.frames) for s in config.stages])
        _check_sizes([("validation", config.validation.crop, config.validation.frames)])

    def terms(self, model: nn.Module, batch: Batch, stage: StageConfig) -> dict[str, Tensor]:
        """`denoise`, and the terms of a critic."""
        hr, numbers = batch["hr"], batch["index"].tolist()
        clean = torch.stack([self._encode(clip, n) for clip, n in zip(hr, numbers, strict=True)])
        condition = torch.stack(
            [self._condition(clip, n) for clip, n in zip(batch["lr"], numbers, strict=True)]
        )
        draws = [sample_generator(self.config.seed + 1, n) for n in numbers]
        timesteps = [
            FULL_NOISE * (1 - int(torch.randint(self.steps, (), generator=g)) / self.steps)
            for g in draws
        ]
        noise = torch.stack([torch.randn(clean.shape[1:], generator=g) for g in draws]).to(clean)
        pairs = zip(clean, noise, timesteps, strict=True)
        latents = torch.stack([noisy(x, drawn, at) for x, drawn, at in pairs])
        velocity = model(latents, condition, self.words, timesteps).float()
        terms = {"denoise": F.mse_loss(velocity, noise - clean)}
        if stage.critic is not None:
            at = velocity.new_tensor(timesteps).view(-1, 1, 1, 1, 1) / FULL_NOISE
            real, fake = (
                rearrange(x, "b t h w c -> b c t h w") for x in (clean, latents - at * velocity)
            )
            generator = sample_generator(self.config.seed, numbers[0])
            terms |= self.adversarial_terms(real, fake, stage, generator)
        return terms

    def restore(
        self, model: nn.Module, sample: Batch, generator: torch.Generator
    ) -> Float[Tensor, "3 t h w"]:
        """The frames of a held-out sample, sampled as the pipeline does."""
        condition = self._condition(sample["lr"].to(self.device), int(sample["index"]))
        noise = torch.randn(condition.shape, generator=generator).to(condition)

        def velocity(latents: Tensor, timestep: float) -> Tensor:
            return model(latents[None], condition[None], self.words, [timestep])[0].float()

        latents = sample_latents(noise, velocity, steps=self.steps)
        frames = self.networks.decode(latents, self.networks.new_stream())
        return torch.cat(list(frames), dim=2)[0]

    def _condition(self, lr: Float[Tensor, "3 t h w"], number: int) -> Float[Tensor, "t2 h2 w2 c"]:
        """The latents of the enlarged small frames."""
        h, w = (_SCALE * side for side in lr.shape[-2:])
        return self._encode(Canvas(h, w).resized(lr[None])[0], number)

    @torch.no_grad()
    def _encode(self, frames: Float[Tensor, "3 t h w"], number: int) -> Float[Tensor, "t2 h2 w2 c"]:
        """Sampled latents of frames; their noise is drawn by the number of the sample."""
        t, h, w = frames.shape[1:]
        size = (latents_of(t), h // PIXELS_PER_LATENT, w // PIXELS_PER_LATENT)
        generator = sample_generator(self.config.seed + 2, number)
        noise = torch.randn(1, LATENT_CHANNELS, *size, generator=generator)
        with self.autocast():
            return self.networks.encode(frames[None], self.networks.new_stream(), noise).float()


def seedvr_folder(config: TrainConfig) -> Path:
    """The path of `init`. Raises `ConfigError` if it is not a model folder of SeedVR."""
    if config.init is None or not is_seedvr_folder(named_path(config.init)):
        raise ConfigError(
            f"init is {config.init!r}; the recipe seedvr begins with a model folder of SeedVR or "
            "SeedVR2, which vsr convert writes"
        )
    return named_path(config.init)


def _check_sizes(stages: list[tuple[str, int, int]]) -> None:
    for name, crop, frames in stages:
        if (frames - 1) % FRAMES_PER_LATENT or (crop * _SCALE) % MULTIPLE:
            raise ConfigError(
                f"{name}: SeedVR trains on 1, 5, 9, ... frames whose crop is a multiple of "
                f"{MULTIPLE // _SCALE}, and here are {frames} frames with a crop of {crop}"
            )
