"""The common part of recipes on clips: samples, frozen features, critic, validation."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import Dataset

from vsr.models.blocks import channels_innermost
from vsr.training.config import DataConfig, LossWeights, StageConfig, TrainConfig
from vsr.training.data.sampler import Numbered, sample_generator
from vsr.training.data.samples import TrainingClips, TrainingClipsConfig
from vsr.training.engine.recipe import Batch
from vsr.training.engine.validate import Validator
from vsr.training.losses.adversary import Adversary
from vsr.training.losses.terms import (
    FeatureExtractor,
    charbonnier,
    feature_distance,
    frequency_loss,
    gradient_loss,
    grid_loss,
    pick_frames,
    shifted_crop,
    temporal_loss,
)

HELD_OUT = 1 << 40
"""Added to the seed of validation samples."""
CRITIC_DRAWS = 1 << 41
"""Added to the seed of the critic's random draws."""


class ClipRecipe(ABC):
    """The common part of recipes on clips; subclasses define `terms` and `restore`."""

    def __init__(
        self,
        config: TrainConfig,
        model: nn.Module,
        device: torch.device,
        *,
        critic_channels: int = 3,
    ) -> None:
        """`critic_channels` are those of the critic's input: 3 for frames."""
        self.config, self.device = config, device
        self.model = channels_innermost(model)
        seen = config.validation.best == "features" or any(
            stage.weights.perceptual or stage.weights.prior_features for stage in config.stages
        )
        self.features = channels_innermost(FeatureExtractor().to(device)) if seen else None
        self.validator: Validator | None = None
        self.adversary: Adversary | None = None
        if any(stage.critic is not None for stage in config.stages):
            self.adversary = Adversary(
                config.adversarial,
                in_channels=critic_channels,
                seed=config.seed,
                autocast=self.autocast,
            )

    @property
    def critic(self) -> nn.Module | None:
        """The discriminator, if a stage uses one."""
        return None if self.adversary is None else self.adversary.critic

    def critic_terms(self, batch: Batch, stage: StageConfig) -> dict[str, Tensor]:
        """The terms of the critic's loss, on the frames of `terms`."""
        assert self.adversary is not None
        number = int(batch["index"][0])
        generator = sample_generator(self.config.seed + CRITIC_DRAWS, number, self.device)
        return self.adversary.critic_terms(generator=generator)

    def adversarial_terms(
        self, real: Tensor, fake: Tensor, stage: StageConfig, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The adversarial terms of the model, in stages with a critic."""
        if stage.critic is None or self.adversary is None:
            return {}
        return self.adversary.generator_terms(real, fake, generator=generator)

    @abstractmethod
    def restore(
        self, model: nn.Module, sample: Batch, generator: torch.Generator
    ) -> Float[Tensor, "3 t h w"]:
        """The model's large frames for a held-out sample."""

    def dataset(self, stage: StageConfig) -> Dataset[dict[str, Tensor]]:
        """An endless set of samples for a stage; each stage has its own order."""
        seed = self.config.seed + 1000 * self.config.stages.index(stage)
        return self._samples(stage.crop, stage.frames, seed=seed)

    def validate(self, model: nn.Module, run_step: int) -> dict[str, float]:
        """Figures of the model on held-out samples, with pictures in the run folder."""
        settings = self.config.validation
        if self.validator is None:
            seed = self.config.seed + HELD_OUT
            samples = self._samples(settings.crop, settings.frames, seed=seed, held_out=True)
            self.validator = Validator(
                [samples[i] for i in range(settings.samples)],
                features=self.features,
                folder=Path(self.config.run) / "pictures",
                pictures=settings.pictures,
            )

        def restore(sample: Batch) -> Tensor:
            generator = sample_generator(self.config.seed + HELD_OUT, int(sample["index"]))
            with self.autocast():
                return self.restore(model, sample, generator).float()

        return self.validator(restore, run_step)

    def autocast(self) -> torch.autocast:
        """Half precision for networks that the loop does not wrap."""
        precision = self.config.precision
        dtype = torch.float16 if precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=precision != "no")

    def perceptual(
        self, output: Tensor, hr: Tensor, generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Feature distance on a random share of the frames, cropped with a random shift."""
        made, true = (rearrange(x, "b c t h w -> (b t) c h w") for x in (output, hr))
        fraction = self.config.teacher_fraction
        picks = pick_frames(len(made), fraction=fraction, generator=generator).to(made.device)
        rows, columns = shifted_crop(*made.shape[-2:], generator=generator)
        with torch.no_grad():
            wanted = self._see(true[picks][..., rows, columns])
        return feature_distance(self._see(made[picks][..., rows, columns]), wanted)

    def _see(self, images: Tensor) -> list[Tensor]:
        assert self.features is not None
        with self.autocast():
            return self.features(images.contiguous(memory_format=torch.channels_last))

    def _samples(self, crop: int, frames: int, *, seed: int, held_out: bool = False) -> Numbered:
        return Numbered(make_dataset(self.config.data, crop, frames, seed=seed, held_out=held_out))


def frame_terms(
    output: Float[Tensor, "b 3 t h w"], batch: Batch, weights: LossWeights
) -> dict[str, Tensor]:
    """The weighted terms that compare output and ground truth without another network.

    `pixel` is always included.
    """
    hr = batch["hr"]
    terms = {"pixel": charbonnier(output, hr)}
    losses: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "gradient": gradient_loss,
        "frequency": frequency_loss,
        "grid": grid_loss,
    }
    terms |= {name: loss(output, hr) for name, loss in losses.items() if getattr(weights, name)}
    if weights.temporal:
        mask = batch["valid"].float() * batch["has_flow"].float().view(-1, 1, 1, 1)
        flow = batch["flow_backward"]
        terms["temporal"] = temporal_loss(output, hr, flow_backward=flow, mask=mask)
    return terms


def make_dataset(
    data: DataConfig, crop: int, frames: int, *, seed: int, held_out: bool
) -> TrainingClips:
    """Numbered samples of the training photographs and videos, or of those kept for validation."""
    config = TrainingClipsConfig(
        photos=(Path(data.photos),) if data.photos else (),
        videos=(Path(data.clips),) if data.clips else (),
        manifest=Path(data.manifest) if data.manifest else None,
        split="validation" if held_out else "train",
        held_out_every=data.held_out_every,
        exclude=data.exclude,
        crop=crop,
        frames=frames,
        seed=seed,
        video_probability=data.clip_fraction,
        video_scale=data.clip_scale,
        photo_memory=1 if held_out else data.photo_memory,
        cache=Path(data.cache),
        video_access=data.reader,
        motion=data.motion,
        degradation=data.degradation,
    )
    return TrainingClips(config)
