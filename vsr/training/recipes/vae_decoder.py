"""The recipe that trains the VAE decoder, on true latents with small errors."""

import dataclasses
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vsr.errors import ConfigError, ModelError
from vsr.models.blocks import zero_parameters
from vsr.models.vae import AutoencoderKLVideo
from vsr.training.config import StageConfig, TrainConfig
from vsr.training.data.sampler import sample_generator
from vsr.training.engine.recipe import Batch
from vsr.training.recipes.clip_recipe import ClipRecipe, frame_terms
from vsr.training.recipes.networks import initial_networks, with_shapes_of_init

NEW_LAYERS = ("norm_3d", "conv_3d", "condition_in", "condition_fuse")
"""Layers that an image decoder lacks."""


class Decoding(nn.Module):
    """The autoencoder, whose forward decodes."""

    vae: AutoencoderKLVideo

    def __init__(self, vae: AutoencoderKLVideo) -> None:
        super().__init__()
        self.vae = vae

    def forward(
        self, latents: Float[Tensor, "b c t h w"], lr: Float[Tensor, "b 3 t h w"]
    ) -> Float[Tensor, "b 3 t h4 w4"]:
        """The frames of latents in the U-Net's scale; about [-1, 1], not clamped."""
        return self.vae.decode_scaled(latents, lr)


class VaeDecoderRecipe(ClipRecipe):
    """Trains the decoder with ground truth, frozen features, known motion and a critic."""

    model: Decoding

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        super().__init__(config, Decoding(initial_decoder(config)), device)

    def terms(self, model: nn.Module, batch: Batch, stage: StageConfig) -> dict[str, Tensor]:
        """The terms of the loss that have a weight in this stage."""
        hr = batch["hr"]
        output = model(self.latents(hr, batch["index"]), batch["lr"])
        generator = sample_generator(self.config.seed, int(batch["index"][0]))
        terms = frame_terms(output, batch, stage.weights)
        if stage.weights.perceptual:
            terms["perceptual"] = self.perceptual(output, hr, generator)
        return terms | self.adversarial_terms(hr, output, stage, generator)

    def restore(
        self, model: nn.Module, sample: Batch, generator: torch.Generator
    ) -> Float[Tensor, "3 t h w"]:
        """The decoded frames of a held-out sample, with the largest error on its latents."""
        latents = self._encode(sample["hr"][None].to(self.device))
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        latents = latents + self.config.vae_decoder.latent_error * noise
        return model(latents, sample["lr"][None].to(self.device))[0]

    def latents(
        self, hr: Float[Tensor, "b 3 t h w"], index: Tensor
    ) -> Float[Tensor, "b c t h4 w4"]:
        """True latents with noise; each sample draws its strength from 0 to `latent_error`."""
        latents = self._encode(hr)
        noisy: list[Tensor] = []
        for clean, number in zip(latents, index.tolist(), strict=True):
            strength = torch.rand((), generator=sample_generator(self.config.seed + 1, number))
            generator = sample_generator(self.config.seed + 2, number, clean.device)
            noise = torch.randn(clean.shape, generator=generator, device=clean.device)
            noisy.append(clean + self.config.vae_decoder.latent_error * float(strength) * noise)
        return torch.stack(noisy)

    @torch.no_grad()
    def _encode(self, hr: Tensor) -> Tensor:
        with self.autocast():
            return self.model.vae.encode_scaled(hr).float()


def with_wider_decoder(config: TrainConfig) -> TrainConfig:
    """The config with the shapes of its `init` and, in `model.vae`, the layers of `vae_decoder`.

    Raises `ConfigError` if the autoencoder already has such layers of another shape, or if
    `model.vae` describes another autoencoder.
    """
    named, asked = config.model.vae, config.vae_decoder
    if config.init is not None:  # without init, model.vae alone describes it
        unnamed = dataclasses.replace(config.model, vae={})
        config = with_shapes_of_init(dataclasses.replace(config, model=unnamed))
    added = {
        "temporal_kernel": None if asked.temporal_kernel is None else list(asked.temporal_kernel),
        "condition_channels": asked.condition_channels,
        "decode_frames": asked.decode_frames,
        "decode_context": asked.decode_context,
    }
    added = {key: value for key, value in added.items() if value is not None}
    held = config.model.vae
    for key in ("temporal_kernel", "condition_channels"):
        has = held.get(key)
        if has is not None and key in added and _plain(has) != added[key]:
            raise ConfigError(
                f"vae_decoder.{key} is {added[key]}, but the autoencoder already has {has}; leave "
                "it out, or begin with an autoencoder of images"
            )
    vae = {**held, **added}
    if named and config.init is not None and named != vae:
        raise ConfigError("model.vae is not what init and vae_decoder make of it; leave it out")
    return dataclasses.replace(config, model=dataclasses.replace(config.model, vae=vae))


def initial_decoder(config: TrainConfig) -> AutoencoderKLVideo:
    """The autoencoder of a config; `NEW_LAYERS` that its `init` lacks start without effect.

    Raises `ModelError` if other layers are missing.
    """
    _, source = initial_networks(config)
    vae = AutoencoderKLVideo(**config.model.vae)
    return widened(source, vae)


def widened(source: AutoencoderKLVideo, vae: AutoencoderKLVideo) -> AutoencoderKLVideo:
    """`vae` with the weights of `source`; its additional layers have no effect yet.

    Raises `ModelError` if it differs from `source` in more than `NEW_LAYERS`.
    """
    fuse: Any = vae.decoder.condition_fuse
    if fuse is not None:
        for layer in (fuse.scale, fuse.shift):
            zero_parameters(layer)
    missing, unexpected = vae.load_state_dict(source.state_dict(), strict=False)
    wrong = [key for key in missing if not any(part in key.split(".") for part in NEW_LAYERS)]
    if wrong or unexpected:
        raise ModelError(f"the autoencoder cannot be widened: {[*wrong, *unexpected][0]} differs")
    return vae


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value
