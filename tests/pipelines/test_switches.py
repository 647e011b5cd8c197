"""Arguments and switches that users of diffusers know: each has its effect, or is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.networks import compact, saved
from vsr.checkpoints.load import load_pipeline
from vsr.errors import ConfigError
from vsr.pipelines.image import ImageUpscalePipeline
from vsr.pipelines.video import VideoUpscalePipeline

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 12, 20, 3), np.uint8)


@pytest.fixture
def pipe(tiny_model: Path) -> VideoUpscalePipeline:
    return load_pipeline(tiny_model, device="cpu")


def _generator(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_generator_decides_the_noise_and_moves_on(pipe):
    generator = _generator()
    first, second = (pipe(FRAMES, generator=generator).latents for _ in range(2))
    assert torch.equal(first, pipe(FRAMES, generator=_generator()).latents)
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ({"generator": [_generator()]}, "generator is a list; give one torch.Generator"),
        ({"generator": _generator(), "seed": 1}, "seed = 1 and a generator are given"),
        ({"output_type": "latent"}, "the latents are in the output"),
        ({"callback_on_step_end_tensor_inputs": ["prompt_embeds"]}, "it can be latents"),
        ({"eta": 0.5}, "unknown sampling key eta"),
        ({"return_dict": False}, "unknown sampling key return_dict"),
    ],
    ids=lambda value: value if isinstance(value, str) else "call",
)
def test_an_argument_without_a_meaning_is_refused(pipe, call, says):
    with pytest.raises(ConfigError, match=says):
        pipe(FRAMES, **call)


def test_the_callback_sees_each_step_and_may_replace_the_latents(pipe):
    seen = []

    def callback(pipeline, step, timestep, tensors):
        assert pipeline is pipe
        seen.append((step, float(timestep), tensors["latents"].shape))
        return {"latents": torch.zeros_like(tensors["latents"])}

    output = pipe(FRAMES, num_inference_steps=3, callback_on_step_end=callback)
    assert [step for step, *_ in seen] == [0, 1, 2]
    assert not output.latents.any()
    timesteps = [timestep for _, timestep, _ in seen]
    assert timesteps == sorted(timesteps, reverse=True)


def test_a_callback_that_changes_nothing_changes_nothing(pipe):
    plain = pipe(FRAMES, num_inference_steps=3).frames
    asked = pipe(FRAMES, num_inference_steps=3, callback_on_step_end=lambda *_: {}).frames
    assert np.array_equal(plain, asked)


def test_an_interrupted_run_ends_after_its_step_with_a_picture(pipe):
    steps = []

    def callback(pipeline, step, *_):
        steps.append(step)
        pipeline._interrupt = step == 1
        return {}

    output = pipe(FRAMES, num_inference_steps=4, callback_on_step_end=callback)
    assert steps == [0, 1]
    assert output.frames.shape == (3, 48, 80, 3)
    assert output.state is None
    assert pipe(FRAMES).state is not None


def test_a_progress_bar_is_shown_to_those_who_ask_for_it(pipe, capfd):
    pipe(FRAMES, num_inference_steps=3)
    assert capfd.readouterr().err == ""
    pipe.set_progress_bar_config(desc="denoising")
    pipe(FRAMES, num_inference_steps=3)
    assert "3/3" in capfd.readouterr().err


@pytest.mark.parametrize(
    "switch",
    [
        lambda pipe: pipe.enable_attention_slicing(),
        lambda pipe: pipe.enable_vae_slicing(),
        lambda pipe: pipe.enable_vae_tiling(),
        lambda pipe: pipe.enable_sequential_cpu_offload(),
        lambda pipe: pipe.enable_group_offload(torch.device("cpu")),
        lambda pipe: pipe.enable_freeu(0.9, 0.2, 1.2, 1.4),
        lambda pipe: pipe.fuse_qkv_projections(),
        lambda pipe: pipe.enable_xformers_memory_efficient_attention(attention_op=object()),
    ],
)
def test_a_switch_that_would_change_nothing_is_refused(pipe, switch):
    with pytest.raises(ConfigError):
        switch(pipe)


def test_the_switch_of_xformers_is_that_of_the_unet(pipe, monkeypatch):
    chosen = []
    monkeypatch.setattr(pipe.unet, "set_attention_backend", chosen.append)
    pipe.enable_xformers_memory_efficient_attention()
    pipe.disable_xformers_memory_efficient_attention()
    assert chosen == ["xformers", "sdpa"]


def test_offloaded_networks_make_the_same_frames(pipe):
    expected = pipe(FRAMES).frames
    pipe.enable_model_cpu_offload(device="cpu")
    assert np.array_equal(pipe(FRAMES).frames, expected)


@pytest.mark.parametrize("key", ["generator", "callback_on_step_end", "num_inference_steps"])
def test_an_image_network_refuses_what_it_has_no_use_for(tmp_path, key):
    network = ImageUpscalePipeline.from_file(saved(compact(), tmp_path / "net.pth"))
    with pytest.raises(ConfigError, match="has no use for it: leave it out"):
        network(FRAMES, **{key: 4})
