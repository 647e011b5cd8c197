import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vsr.training.losses.discriminators import DiscriminatorKind, make_discriminator

KINDS: tuple[DiscriminatorKind, ...] = ("frame", "temporal")


def small(kind: DiscriminatorKind, channels: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return make_discriminator(kind, in_channels=3, channels=channels, depth=3)


def seen_by(network: nn.Module, frames: int, size: int) -> tuple[int, int]:
    """How many frames and how many columns one score depends on."""
    x = torch.randn(1, 3, frames, size, size, requires_grad=True)
    scores = network(x).scores
    t, h, w = (length // 2 for length in scores.shape[2:])
    scores[0, 0, t, h, w].backward()
    assert x.grad is not None
    reached = x.grad.abs().sum(dim=(0, 1)) > 0
    return int(reached.any(2).any(1).sum()), int(reached.any(1).any(0).sum())


def test_a_frame_discriminator_judges_each_frame_alone_and_a_temporal_one_several():
    assert seen_by(small("frame"), 3, 128) == (1, 64)
    assert seen_by(small("temporal"), 9, 96) == (7, 38)


def test_the_full_sizes_are_as_documented():
    counts = [sum(p.numel() for p in small(kind, 64).parameters()) for kind in KINDS]
    assert counts == [4_376_897, 919_681]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 16, 16), (2, 13, 19), (5, 8, 33)])
def test_clips_of_any_size_are_judged(kind: DiscriminatorKind, size: tuple[int, int, int]):
    verdict = small(kind)(torch.randn(2, 3, *size))
    assert verdict.scores.shape[:3] == (2, 1, size[0])
    assert all(m.shape[2] == size[0] for m in verdict.maps)


@pytest.mark.parametrize("kind", KINDS)
def test_normed_weights_have_norm_one_after_some_forwards(kind: DiscriminatorKind):
    network = small(kind)
    for _ in range(60):
        network(torch.zeros(1, 3, 1, 8, 8))
    network.eval()
    normed = [m.weight for m in network.modules() if hasattr(m, "parametrizations")]
    assert len(normed) >= 6
    for weight in normed:
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_half_precision_changes_scores_and_gradients_little(kind: DiscriminatorKind, frames: int):
    network, x = small(kind, 16).eval(), torch.randn(1, 3, frames, 32, 32)
    found: list[list[torch.Tensor]] = []
    for half in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            scores = network(x).scores
        assert scores.dtype == (torch.bfloat16 if half else torch.float32)
        weights = [p for p in network.parameters() if p.ndim > 1]
        found.append([scores, *torch.autograd.grad(scores.float().square().sum(), weights)])
    for full, close in zip(*found, strict=True):
        assert (close.float() - full).norm() < 0.1 * full.norm()


def margin_after_training(network: nn.Module, steady: bool) -> float:
    """Score of true clips above that of noise; true ones are smooth, or one noise at all times."""
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    generator, margin = torch.Generator().manual_seed(0), torch.zeros(())
    for _ in range(60):
        fake = torch.randn(2, 3, 3, 16, 16, generator=generator)
        smooth = F.interpolate(fake[..., ::4, ::4], scale_factor=(1, 4, 4))
        real = fake[:, :, :1].expand_as(fake) if steady else smooth
        true, made = network(torch.cat([real, fake])).scores.chunk(2)
        margin = true.mean() - made.mean()
        F.softplus(made - true).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return margin.item()


def test_both_learn_what_frames_look_like_and_only_one_how_they_follow_each_other():
    assert margin_after_training(small("frame", 8), steady=False) > 1
    assert margin_after_training(small("temporal", 8), steady=False) > 1
    assert margin_after_training(small("frame", 8), steady=True) < 0.3
    assert margin_after_training(small("temporal", 8), steady=True) > 0.5
