"""A recipe's critic and the losses of both sides on a batch."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from vsr.training.losses.discriminators import make_discriminator
from vsr.training.losses.gan import (
    AdversarialConfig,
    difference_penalty,
    discriminator_loss,
    feature_matching,
    generator_loss,
    gradient_penalty,
)
from vsr.training.losses.terms import pick_frames


class Adversary:
    """A recipe's critic and the losses of both sides; `autocast` sets the number format of its
    passes.

    `generator_terms` keeps its frames (detached) for the `critic_terms` of the same batch.
    """

    def __init__(
        self,
        config: AdversarialConfig,
        *,
        in_channels: int,
        seed: int,
        autocast: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self.config, self.autocast = config, autocast
        with torch.random.fork_rng(devices=[]):  # the same weights in every process
            torch.manual_seed(seed)
            self.critic = make_discriminator(
                config.discriminator,
                in_channels=in_channels,
                channels=config.channels,
                depth=config.depth,
            )
        self._seen: tuple[Tensor, Tensor] | None = None

    def generator_terms(
        self,
        real: Float[Tensor, "b c t h w"],
        fake: Float[Tensor, "b c t h w"],
        *,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """`adversarial` and `matching` (of features), whose gradients reach `fake` alone."""
        if self.config.discriminator == "frame":
            real, fake = _picked_frames(real, fake, self.config.fraction, generator)
        self._seen = (real, fake.detach())
        with self.autocast():
            with torch.no_grad():
                true = self.critic(real)
            made = self.critic(fake)
        scores = (true.scores.float(), made.scores.float())
        return {
            "adversarial": generator_loss(*scores, self.config.loss),
            "matching": feature_matching(true.maps, made.maps),
        }

    def critic_terms(self, *, generator: torch.Generator) -> dict[str, Tensor]:
        """The critic's own loss, and its penalties with their weights where they have one."""
        assert self._seen is not None, "generator_terms of the same batch comes first"
        config, (real, fake) = self.config, self._seen
        self._seen = None
        seen: dict[str, Tensor] = {"r1": real, "r2": fake}
        weights = {name: getattr(config, name) for name in seen if getattr(config, name)}
        moved: list[Tensor] = []
        if config.penalty == "difference":
            moved = [_moved(seen[name], config.penalty_std, generator) for name in weights]
        with self.autocast():
            scores = self._scores(torch.cat([*seen.values(), *moved])).float()
        true, made, *others = scores.chunk(2 + len(moved))
        if config.penalty == "difference":
            still: dict[str, Tensor] = {"r1": true, "r2": made}
            pairs = zip(weights, others, strict=True)
            penalties = [difference_penalty(still[n], m, std=config.penalty_std) for n, m in pairs]
        else:
            penalties = [
                gradient_penalty(self._scores, seen[n], generator=generator) for n in weights
            ]
        paid = zip(weights, weights.values(), penalties, strict=True)
        return {
            "critic": discriminator_loss(true, made, config.loss),
            **{name: weight * penalty for name, weight, penalty in paid},
        }

    def _scores(self, frames: Tensor) -> Tensor:
        return self.critic(frames).scores


def _picked_frames(
    real: Tensor, fake: Tensor, fraction: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The same random frames of both, each as a clip of one frame."""
    frames = [rearrange(x, "b c t h w -> (b t) c 1 h w") for x in (real, fake)]
    picks = pick_frames(len(frames[0]), fraction=fraction, generator=generator).to(real.device)
    return frames[0][picks], frames[1][picks]


def _moved(frames: Tensor, std: float, generator: torch.Generator) -> Tensor:
    noise = torch.randn(frames.shape, generator=generator, device=generator.device)
    return frames + std * noise.to(frames)
