"""Noise belongs to the frame: splitting the film changes none of it."""

import torch

from vsr.ops.noise import frame_noise

SHAPE = (4, 30, 40)


def test_a_frame_has_its_noise_however_the_film_is_split():
    whole = frame_noise(SHAPE, frames=range(10), seed=7, stream="latents")
    parts = [range(0, 3), range(3, 4), range(4, 10)]
    joined = [frame_noise(SHAPE, frames=part, seed=7, stream="latents") for part in parts]
    assert torch.equal(torch.cat(joined, dim=1), whole)


def test_the_global_generator_plays_no_part():
    torch.manual_seed(1)
    first = frame_noise(SHAPE, frames=range(2), seed=7, stream="latents")
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(frame_noise(SHAPE, frames=range(2), seed=7, stream="latents"), first)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_seeds_streams_and_frames_draw_independent_noise():
    draws = [
        frame_noise(SHAPE, frames=[frame], seed=seed, stream=stream).flatten()
        for frame, seed, stream in [(0, 0, "latents"), (1, 0, "latents"), (0, 1, "latents")]
    ]
    draws.append(frame_noise(SHAPE, frames=[0], seed=0, stream="low_res").flatten())
    correlations = torch.corrcoef(torch.stack(draws)) - torch.eye(4)
    assert correlations.abs().max() < 5 / (4 * 30 * 40) ** 0.5


def test_it_is_standard_normal():
    noise = frame_noise(SHAPE, frames=range(20), seed=0, stream="latents")
    assert abs(noise.mean().item()) < 0.02
    assert abs(noise.std().item() - 1) < 0.02


def test_the_numbers_never_change_between_versions():
    noise = frame_noise((1, 2, 2), frames=[123], seed=42, stream="latents")
    expected = torch.tensor([-0.8516924, 0.5292480, 1.0507438, -0.2816301]).view(1, 1, 2, 2)
    torch.testing.assert_close(noise, expected, atol=1e-6, rtol=0)


def test_no_frames_are_an_empty_clip():
    assert frame_noise(SHAPE, frames=range(0), seed=0, stream="latents").shape == (4, 0, 30, 40)
