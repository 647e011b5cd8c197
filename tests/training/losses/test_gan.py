import math

import pytest
import torch
from torch import Tensor

from vsr.errors import ConfigError
from vsr.training.losses.discriminators import make_discriminator
from vsr.training.losses.gan import (
    AdversarialConfig,
    AdversarialKind,
    difference_penalty,
    discriminator_loss,
    feature_matching,
    generator_loss,
    gradient_penalty,
)

KINDS: tuple[AdversarialKind, ...] = ("relativistic", "relativistic_average", "hinge")


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_the_losses_are_the_papers_numbers():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-1.0, 1.0])
    pairs = (softplus(-3.0) + softplus(0.5)) / 2
    assert discriminator_loss(real, fake, "relativistic").item() == pytest.approx(pairs)
    swapped = (softplus(3.0) + softplus(-0.5)) / 2
    assert generator_loss(real, fake, "relativistic").item() == pytest.approx(swapped)
    # means: real 1.25, fake 0
    true_ones = (softplus(-2.0) + softplus(-0.5)) / 2
    made_ones = (softplus(-1.0 - 1.25) + softplus(1.0 - 1.25)) / 2
    average = discriminator_loss(real, fake, "relativistic_average").item()
    assert average == pytest.approx((true_ones + made_ones) / 2)
    assert discriminator_loss(real, fake, "hinge").item() == pytest.approx(0.5 / 2 + 2.0 / 2)
    assert generator_loss(real, fake, "hinge").item() == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_each_side_pulls_the_scores_its_own_way(kind: AdversarialKind):
    real, fake = (torch.zeros(4, requires_grad=True) for _ in range(2))
    up_real, up_fake = torch.autograd.grad(-discriminator_loss(real, fake, kind), (real, fake))
    assert (up_real > 0).all() and (up_fake < 0).all()
    (wanted,) = torch.autograd.grad(-generator_loss(real, fake, kind), fake)
    assert (wanted > 0).all()


def test_the_gradient_penalty_of_a_linear_score_is_its_squared_weights():
    weights = torch.randn(3, 2, 4, 4)

    def linear(frames: Tensor) -> Tensor:
        return (frames * weights).sum(dim=(1, 2, 3, 4))

    found = gradient_penalty(linear, torch.randn(5, 3, 2, 4, 4), generator=torch.Generator())
    torch.testing.assert_close(found, weights.square().sum())


def test_both_penalties_estimate_the_mean_squared_gradient_of_the_scores():
    torch.manual_seed(0)
    network = torch.nn.Conv3d(1, 1, (1, 3, 3), padding=(0, 1, 1))
    frames, generator = torch.randn(1, 1, 1, 6, 6), torch.Generator().manual_seed(1)

    def discriminate(x: Tensor) -> Tensor:
        return torch.tanh(network(x))

    jacobian = torch.autograd.functional.jacobian(lambda x: discriminate(x).flatten(), frames)
    wanted = jacobian.flatten(1).square().sum(dim=1).mean().item()
    exact = [gradient_penalty(discriminate, frames, generator=generator) for _ in range(300)]
    assert torch.stack(exact).mean().item() == pytest.approx(wanted, rel=0.05)
    std = 0.01
    noise = torch.randn(2000, *frames.shape[1:], generator=generator) * std
    moved, still = discriminate(frames + noise), discriminate(frames).expand(2000, -1, -1, -1, -1)
    assert difference_penalty(still, moved, std=std).item() == pytest.approx(wanted, rel=0.05)


def test_the_gradient_penalty_itself_can_be_differentiated():
    network = make_discriminator("temporal", in_channels=3, channels=2, depth=2)
    penalty = gradient_penalty(
        lambda x: network(x).scores, torch.rand(1, 3, 2, 8, 8), generator=torch.Generator()
    )
    penalty.backward()
    moved = [p.grad for p in network.parameters() if p.grad is not None]
    assert moved and all(g.isfinite().all() for g in moved) and any(g.abs().sum() for g in moved)


def test_feature_matching_is_the_mean_distance_and_leaves_true_maps_alone():
    real = [torch.zeros(1, 2, 1, 2, 2, requires_grad=True), torch.ones(1, 1, 1, 1, 1)]
    fake = [torch.full((1, 2, 1, 2, 2), 0.5), torch.full((1, 1, 1, 1, 1), 2.0, requires_grad=True)]
    loss = feature_matching(real, fake)
    assert loss.item() == pytest.approx((0.5 + 1.0) / 2)
    loss.backward()
    assert real[0].grad is None and fake[1].grad is not None


@pytest.mark.parametrize(
    "changes",
    [{"channels": 0}, {"depth": 0}, {"r1": -1.0}, {"fraction": 0.0}, {"penalty_std": 0.0}],
)
def test_a_config_out_of_range_is_refused(changes: dict[str, float]):
    with pytest.raises(ConfigError, match=rf"adversarial\.{next(iter(changes))}"):
        AdversarialConfig(**changes)  # type: ignore[arg-type]
