"""The published sampler against a plain one, where the recorded runs do not reach."""

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from plain_loop import PlainRun, plain_latents, plain_propagation, plain_unet

from tests.parity import fixture, small_unet, small_vae
from vsr.models.blocks import channels_innermost
from vsr.pipelines.video import VideoUpscalePipeline

NOISE = {"beta_schedule": "scaled_linear", "beta_start": 1e-4, "beta_end": 0.02}
STEPS = 2


def _run(frames: int, height: int, width: int, **fields) -> PlainRun:
    """Random frames, noise and words, and a flow that the round trip mostly trusts."""
    generator = torch.Generator().manual_seed(frames)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    forward = 2 * draw(1, 2, 1, 1, 1) + 0.1 * draw(1, 2, frames - 1, height, width)
    return PlainRun(
        low_res=draw(1, 3, frames, height, width).clamp(-1, 1),
        low_res_noise=draw(1, 3, frames, height, width),
        latents=draw(1, 4, frames, height, width),
        text=draw(1, 7, 64),
        negative_text=draw(1, 7, 64),
        steps=STEPS,
        flow=(forward, -forward),
        **fields,
    )


@pytest.fixture(scope="module")
def published() -> VideoUpscalePipeline:
    return _pipeline()


def _pipeline() -> VideoUpscalePipeline:
    scheduler = DDIMScheduler(
        **NOISE,
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    unet = channels_innermost(small_unet())
    return VideoUpscalePipeline(unet, small_vae("3d"), scheduler, DDPMScheduler(**NOISE))


def _latents(published: VideoUpscalePipeline, run: PlainRun) -> torch.Tensor:
    return published(
        run.low_res,
        preset="upscale-a-video",
        prompt_embeds=run.text,
        negative_prompt_embeds=run.negative_text,
        num_inference_steps=run.steps,
        propagation_steps=run.propagation_steps,
        flows=run.flow,
        low_res_noise=run.low_res_noise,
        latents=run.latents,
        output_type="pt",
    ).latents


@torch.no_grad()
def test_the_plain_network_has_the_numbers_of_the_published_one():
    given = fixture("unet")
    level, timestep = int(given["noise_level"]), int(given["timestep"])
    found = plain_unet(
        small_unet(), given["sample"], given["low_res"], timestep, level, given["text"]
    )
    torch.testing.assert_close(found[..., ::2, ::2], given["output"], atol=2e-5, rtol=0)


# 14 frames: the last window comes twice, and all is propagated; 30x34: no level halves evenly
@torch.no_grad()
@pytest.mark.parametrize(
    ("frames", "height", "width", "propagated"), [(14, 8, 12, (0, 1)), (2, 30, 34, ())]
)
def test_a_run_has_the_numbers_of_the_plain_loop(published, frames, height, width, propagated):
    run = _run(frames, height, width, propagation_steps=propagated)
    expected = plain_latents(small_unet(), run)
    # sums in another order, through steps of guidance 6
    torch.testing.assert_close(_latents(published, run), expected, atol=1e-4, rtol=0)


def test_propagation_is_felt_in_the_run_of_14_frames():
    run = _run(14, 8, 12)
    fused = plain_propagation(run.latents, run.flow)
    assert (fused - run.latents).abs().mean() > 0.1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@torch.no_grad()
def test_a_run_on_a_gpu_has_the_numbers_of_the_plain_loop(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    run = _run(14, 8, 12, propagation_steps=(0, 1))
    found = _pipeline().to("cuda")
    torch.testing.assert_close(
        _latents(found, run).cpu(), plain_latents(small_unet(), run), atol=1e-3, rtol=0
    )
