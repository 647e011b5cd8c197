"""The recipe of the embedded model: one step from enlarged small frames to large ones."""

import logging
from typing import Any, TypeVar

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from vsr.config import NATIVE_SCALE
from vsr.errors import ModelError
from vsr.models.blocks import channels_innermost
from vsr.models.image import ImageNetwork
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo
from vsr.pipelines.sampling import mix, starting_latents
from vsr.pipelines.schedule import sigma_timestep
from vsr.training.config import StageConfig, TrainConfig
from vsr.training.data.sampler import sample_generator
from vsr.training.engine.fast_prelu import use_fast_prelu
from vsr.training.engine.recipe import Batch
from vsr.training.losses.terms import (
    feature_distance,
    pick_frames,
    shifted_crop,
)
from vsr.training.recipes.clip_recipe import ClipRecipe, frame_terms
from vsr.training.recipes.networks import existing_file, initial_networks

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=nn.Module)

LATENT_CHANNELS = 48
"""A packed latent is 4x4 pixels of 3 colours."""


class OneStepModel(nn.Module):
    """U-Net and autoencoder as one module, whose forward turns small frames into large ones."""

    unet: UNetVideoModel
    vae: AutoencoderKLVideo

    def __init__(self, unet: UNetVideoModel, vae: AutoencoderKLVideo, *, kappa: float) -> None:
        super().__init__()
        self.unet, self.vae, self.kappa = unet, vae, kappa

    def forward(
        self,
        lr: Float[Tensor, "b 3 t h w"],
        noise: Float[Tensor, "b c t h w"],
        noise_level: Int[Tensor, " b"],
        *,
        noisy: Float[Tensor, "b 3 t h w"] | None = None,
        sigma: Float[Tensor, " b"] | None = None,
        clean: Float[Tensor, "b 3 t h4 w4"] | None = None,
    ) -> Float[Tensor, "b 3 t h4 w4"]:
        """The large frames in [-1, 1], not clipped, from one step.

        `noisy`: the small frames with noise of `noise_level`, on which the U-Net is conditioned.
        The step starts at the latents of the enlarged small frames plus `kappa` * noise. Given
        `sigma` and the `clean` large frames, it starts at a mixture of those and the clean latents.
        """
        base = self.vae.encode_enlarged(lr)
        latents = starting_latents(noise, base=base, strength=self.kappa)
        if sigma is None or clean is None:
            sigma = torch.ones(lr.shape[0], device=lr.device)
        else:
            latents = mix(self.vae.encode_scaled(clean), latents, sigma)
        timestep = sigma_timestep(sigma)
        seen = lr if noisy is None else noisy
        residual = self.unet(latents, timestep, low_res=seen, class_labels=noise_level).sample
        return self.vae.decode_scaled(base + residual, lr)


class CompactRecipe(ClipRecipe):
    """Trains `OneStepModel` with ground truth, frozen features, a teacher and known motion."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        super().__init__(config, build_model(config), device)
        if device.type == "cpu":
            use_fast_prelu(self.model)
        self.teacher = _frozen(_load_teacher(config.teacher), device) if config.teacher else None
        self.low_res_scheduler = DDPMScheduler(
            num_train_timesteps=config.noise.levels,
            beta_start=config.noise.beta_start,
            beta_end=config.noise.beta_end,
            beta_schedule="scaled_linear",
        )

    def terms(self, model: nn.Module, batch: Batch, stage: StageConfig) -> dict[str, Tensor]:
        """The terms of the loss that have a weight in this stage."""
        weights, hr = stage.weights, batch["hr"]
        generator = sample_generator(self.config.seed, int(batch["index"][0]))
        noisy, noise, levels = self.draw_noise(batch["lr"], batch["index"])
        sigma = draw_sigmas(self.config, batch["index"]).to(hr.device)
        output = model(batch["lr"], noise, levels, noisy=noisy, sigma=sigma, clean=hr)
        terms = frame_terms(output, batch, weights)
        terms |= self.adversarial_terms(hr, output, stage, generator)
        if weights.perceptual or weights.prior or weights.prior_features:
            terms |= self._feature_terms(output, batch, stage, generator)
        return terms

    def draw_noise(
        self, lr: Float[Tensor, "b 3 t h w"], index: Int[Tensor, " b"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Small frames with noise, noise for the latents, and noise levels, by sample number."""
        config, (_, _, t, h, w) = self.config.noise, lr.shape
        frames, latents, levels = [], [], []
        for sample, number in zip(lr, index.tolist(), strict=True):
            # Drawn on the device: a CPU that feeds a GPU is too slow for a batch of noise.
            generator = sample_generator(self.config.seed, number, lr.device)
            latents.append(
                torch.randn(LATENT_CHANNELS, t, h, w, generator=generator, device=lr.device)
            )
            draw = sample_generator(self.config.seed + 2, number)
            levels.append(_draw_level(config.level_probability, config.max_level, draw))
            if levels[-1]:
                noise = torch.randn(sample.shape, generator=generator, device=lr.device)
                level: Any = torch.tensor([levels[-1]])
                sample = self.low_res_scheduler.add_noise(sample[None], noise[None], level)[0]
            frames.append(sample)
        noise = torch.stack(latents)
        return torch.stack(frames), noise, torch.tensor(levels, device=lr.device)

    def restore(
        self, model: nn.Module, sample: Batch, generator: torch.Generator
    ) -> Float[Tensor, "3 t h w"]:
        """The large frames of a held-out sample, from one step."""
        lr = sample["lr"][None].to(self.device)
        noise = torch.randn(1, LATENT_CHANNELS, *lr.shape[2:], generator=generator)
        level = torch.zeros(1, dtype=torch.long, device=self.device)
        return model(lr, noise.to(self.device), level)[0]

    def _feature_terms(
        self, output: Tensor, batch: Batch, stage: StageConfig, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Feature and teacher terms on a random share of the frames.

        Features are computed on crops with a random shift.
        """
        frames = rearrange(output, "b c t h w -> (b t) c h w")
        picks = pick_frames(
            len(frames), fraction=self.config.teacher_fraction, generator=generator
        ).to(frames.device)
        rows, columns = shifted_crop(*frames.shape[-2:], generator=generator)
        out = frames[picks]
        weights, terms = stage.weights, dict[str, Tensor]()
        small: list[tuple[str, Tensor]] = []
        if weights.perceptual:
            hr = rearrange(batch["hr"], "b c t h w -> (b t) c h w")[picks]
            small.append(("perceptual", hr))
        if weights.prior or weights.prior_features:
            taught = self._teach(rearrange(batch["lr"], "b c t h w -> (b t) c h w")[picks])
            terms["prior"] = (out - taught).abs().mean()
            if weights.prior_features:
                small.append(("prior_features", taught))
        if small:
            seen = self._see(out[..., rows, columns])
            for name, target in small:
                with torch.no_grad():
                    wanted = self._see(target[..., rows, columns])
                terms[name] = feature_distance(seen, wanted)
        return terms

    @torch.no_grad()
    def _teach(self, lr: Tensor) -> Tensor:
        """The teacher's output for small frames; both in [-1, 1]."""
        assert self.teacher is not None
        images = lr.contiguous(memory_format=torch.channels_last).mul(0.5).add(0.5)
        with self.autocast():
            large = self.teacher(images)
        return large.float().clamp(0, 1).mul(2).sub(1)


def draw_sigmas(config: TrainConfig, index: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Start of each sample between clean (0) and noise (1): mostly 1, as for the first step."""
    generators = [sample_generator(config.seed + 1, number) for number in index.tolist()]
    draws = torch.stack([torch.rand(2, generator=generator) for generator in generators])
    later = draws[:, 0] < config.noise.later_probability
    return torch.where(later, draws[:, 1].clamp(min=0.1), torch.ones(len(draws)))


def build_model(config: TrainConfig) -> OneStepModel:
    """The networks of a config as one module, with the weights that its `init` names."""
    return OneStepModel(*initial_networks(config), kappa=config.noise.kappa)


def _load_teacher(path: str) -> nn.Module:
    network = ImageNetwork.load(existing_file(path, "teacher"))
    if network.scale != NATIVE_SCALE:
        raise ModelError(f"teacher {path} enlarges by {network.scale}; it must enlarge by 4")
    return network.descriptor.model.float()


def _frozen(module: M, device: torch.device) -> M:
    return channels_innermost(module.requires_grad_(False).eval().to(device))


def _draw_level(probability: float, maximum: int, generator: torch.Generator) -> int:
    if float(torch.rand((), generator=generator)) >= probability:
        return 0
    return int(torch.randint(1, maximum + 1, (), generator=generator))
