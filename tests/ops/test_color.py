"""Colour transfer has the numbers of the published pipeline, and takes only the low band."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vsr.ops.color import keep_flat_chroma, match_adain, match_wavelet

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


LEVEL = 2 / 255


def _coloured(t: int = 2) -> torch.Tensor:
    return 2 * torch.rand(t, 3, 16, 20, generator=torch.Generator().manual_seed(3)) - 1


def _grey(t: int = 2, tint: tuple[float, ...] = (0, 0, 0)) -> torch.Tensor:
    luma = 1.4 * torch.rand(t, 1, 4, 5, generator=torch.Generator().manual_seed(4)) - 0.7
    return luma + LEVEL * torch.tensor(tint).view(1, 3, 1, 1)


def test_a_grey_source_gives_grey_frames_of_the_same_luma():
    frames = _coloured()
    found = keep_flat_chroma(frames, _grey())
    assert torch.equal(found[:, 0], found[:, 1])
    assert torch.equal(found[:, 0], found[:, 2])
    luma = 0.299 * frames[:, 0] + 0.587 * frames[:, 1] + 0.114 * frames[:, 2]
    torch.testing.assert_close(found[:, 0], luma)


def test_the_noise_of_a_codec_in_flat_chroma_is_no_colour():
    noise = LEVEL * torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(5)) / 2
    found = keep_flat_chroma(_coloured(), _grey() + noise)
    assert (found - found.mean(dim=1, keepdim=True)).abs().max() < LEVEL


def test_a_film_that_is_tinted_as_a_whole_keeps_its_tint():
    found = keep_flat_chroma(_coloured() / 2, _grey(tint=(20, 0, -15)))
    torch.testing.assert_close(found[:, 0] - found[:, 1], torch.full((2, 16, 20), 20 * LEVEL))
    torch.testing.assert_close(found[:, 2] - found[:, 1], torch.full((2, 16, 20), -15 * LEVEL))


def test_one_coloured_thing_in_a_grey_picture_keeps_all_colours():
    source = _grey()
    source[1, 0, 2, 3] += 30 * LEVEL
    frames = _coloured()
    found = keep_flat_chroma(frames, source)
    assert torch.equal(found[1], frames[1])
    assert not torch.equal(found[0], frames[0])
