"""Adversarial training: the losses of both sides, and what keeps the discriminator smooth.

Scores are maps, one number a place, higher where frames look true. All losses are means over
places; across processes each takes its own batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vsr.errors import ConfigError
from vsr.training.losses.discriminators import DiscriminatorKind

AdversarialKind = Literal["relativistic", "relativistic_average", "hinge"]
PenaltyKind = Literal["difference", "exact"]


@dataclass(frozen=True, slots=True)
class AdversarialConfig:
    """The critic, its loss and its gradient penalties.

    It trains in the stages whose weights `adversarial` or `matching` are above zero.
    """

    discriminator: DiscriminatorKind = "temporal"
    """"temporal": patches of clips; "frame": a U-Net that judges every pixel of single frames, at
    15 times the cost."""
    channels: int = 64
    depth: int = 3
    """Halvings of the frames."""
    loss: AdversarialKind = "relativistic"
    fraction: float = 1.0
    """Share of the frames that a critic of single frames looks at."""
    r1: float = 0.0
    """Weight of the squared gradient of its scores by true frames ..."""
    r2: float = 0.0
    """... and by made ones."""
    penalty: PenaltyKind = "difference"
    """"difference": the gradient from one small random step, which any number format and FSDP
    bear; "exact": by differentiating twice, in full precision."""
    penalty_std: float = 0.05
    """Standard deviation of that step, in the units of the frames or latents."""

    def __post_init__(self) -> None:
        for name, value, low in (
            ("channels", self.channels, 1),
            ("depth", self.depth, 1),
            ("r1", self.r1, 0),
            ("r2", self.r2, 0),
        ):
            if value < low:
                raise ConfigError(f"adversarial.{name} is {value}; it must be at least {low}")
        if not 0 < self.fraction <= 1:
            raise ConfigError(f"adversarial.fraction is {self.fraction}; it must be 0 to 1, not 0")
        if self.penalty_std <= 0:
            raise ConfigError(f"adversarial.penalty_std is {self.penalty_std}; it must be above 0")


def generator_loss(
    real: Float[Tensor, "*places"], fake: Float[Tensor, "*places"], kind: AdversarialKind
) -> Float[Tensor, ""]:
    """The generator's loss from the scores of its frames.

    "relativistic": softplus(real - fake) (RpGAN, Jolicoeur-Martineau 2019; Huang et al. 2024,
    eq. 2); "relativistic_average": as ESRGAN (Wang et al. 2018, eq. 2), each score against the
    mean of the other side; "hinge": -fake.
    """
    if kind == "relativistic":
        return F.softplus(real - fake).mean()
    if kind == "relativistic_average":
        return _against_means(fake, real)
    return -fake.mean()


def discriminator_loss(
    real: Float[Tensor, "*places"], fake: Float[Tensor, "*places"], kind: AdversarialKind
) -> Float[Tensor, ""]:
    """The discriminator's loss: the generator's with the sides exchanged.

    "hinge": max(0, 1 - real) + max(0, 1 + fake) (Lim & Ye 2017).
    """
    if kind == "relativistic":
        return F.softplus(fake - real).mean()
    if kind == "relativistic_average":
        return _against_means(real, fake)
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def difference_penalty(
    scores: Float[Tensor, "*places"], moved: Float[Tensor, "*places"], *, std: float
) -> Float[Tensor, ""]:
    """Mean of (score(x + std n) - score(x))^2 / std^2, n unit noise: see `gradient_penalty`.

    For small `std` its mean over n is the squared gradient: |J n|^2 has mean |J|^2. It needs no
    second derivative (Lin et al. 2025, "APT", eq. 3, whose weight is ours / std^2).
    """
    return (moved - scores).square().mean() / std**2


def gradient_penalty(
    discriminate: Callable[[Tensor], Tensor],
    frames: Float[Tensor, "b c t h w"],
    *,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """Mean over scores of the squared norm of their gradient by `frames` (R1 of true frames, R2 of
    made ones: Mescheder et al. 2018, eq. 9, without its half).

    Scores get random signs, under which the cross terms of the squared gradient of their sum have
    mean zero; with one score a sample it is exact.
    """
    frames = frames.detach().requires_grad_()
    scores = discriminate(frames)
    signs = torch.randint(0, 2, scores.shape, generator=generator, device=generator.device)
    weighted = scores * (2 * signs - 1).to(scores)
    (gradient,) = torch.autograd.grad(weighted.sum(), frames, create_graph=True)
    return gradient.square().sum() / scores.numel()


def feature_matching(
    real: Sequence[Float[Tensor, "b _ _ _ _"]], fake: Sequence[Float[Tensor, "b _ _ _ _"]]
) -> Float[Tensor, ""]:
    """Mean L1 distance of the discriminator's maps, averaged over maps; true ones are constants
    (Salimans et al. 2016; as used by SeedVR2, Wang et al. 2025)."""
    pairs = zip(real, fake, strict=True)
    return torch.stack([(f - r.detach()).abs().mean() for r, f in pairs]).mean()


def _against_means(winner: Tensor, loser: Tensor) -> Tensor:
    """Each side's scores against the mean of the other, by cross entropy."""
    above = F.softplus(loser.mean() - winner).mean()
    below = F.softplus(loser - winner.mean()).mean()
    return (above + below) / 2
