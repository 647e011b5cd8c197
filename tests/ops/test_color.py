"""Colour transfer has the numbers of the published pipeline, and takes only the low band."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vsr.ops.color import match_adain, match_wavelet

FIXTURE = Path(__file__).parents[1] / "fixtures" / "color.safetensors"


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    return load_file(FIXTURE)


def test_adain_is_the_published_one(published):
    result = match_adain(published["frames"], published["reference"])
    torch.testing.assert_close(result, published["adain"], atol=1e-6, rtol=0)


def test_wavelet_is_the_published_one(published):
    result = match_wavelet(published["frames"], published["reference"])
    torch.testing.assert_close(result, published["wavelet"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("match", [match_adain, match_wavelet])
def test_frames_that_are_their_own_reference_stay(match):
    frames = torch.rand(1, 3, 2, 20, 24, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(match(frames, frames), frames)


@pytest.mark.parametrize("match", [match_adain, match_wavelet])
def test_a_tint_of_one_frame_is_undone_in_that_frame_alone(match):
    reference = torch.rand(1, 3, 2, 20, 24, generator=torch.Generator().manual_seed(0))
    tinted = reference.clone()
    tinted[0, 1, 1] += 0.3
    torch.testing.assert_close(match(tinted, reference), reference, atol=1e-5, rtol=0)


def test_wavelet_keeps_detail_that_the_reference_lacks():
    checks = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(16, 16).expand(1, 3, 1, 32, 32)
    flat = torch.full_like(checks, 0.5)
    inner = match_wavelet(checks, flat)[..., 8:-8, 8:-8]
    torch.testing.assert_close(inner, 0.5 + checks[..., 8:-8, 8:-8], atol=2e-2, rtol=0)


def test_adain_takes_a_reference_of_any_size():
    frames = torch.randn(1, 3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    small = 0.2 * torch.randn(1, 3, 1, 8, 8, generator=torch.Generator().manual_seed(1)) + 0.1
    matched = match_adain(frames, small)
    torch.testing.assert_close(matched.mean((-2, -1)), small.mean((-2, -1)))
    torch.testing.assert_close(matched.std((-2, -1)), small.std((-2, -1)), atol=1e-3, rtol=0)
