"""The choices of a call: text, guidance, noise level, and values out of range."""

import shutil
from pathlib import Path

import pytest
import torch

from tests.pipelines.videos import assert_same, latents_of, pipe_of, video_of, with_choices
from vsr.errors import ConfigError, InputError, ModelError
from vsr.models.other_weights import save_other_weights
from vsr.models.unet import UNetVideoModel
from vsr.pipelines.video import VideoUpscalePipeline

# Text


@pytest.fixture(scope="module")
def pipe(tiny_model: Path) -> VideoUpscalePipeline:
    return pipe_of(tiny_model)


@pytest.fixture(scope="module")
def with_text(pipe) -> VideoUpscalePipeline:
    """A model that attends to text, without a text encoder."""
    torch.manual_seed(0)
    unet = UNetVideoModel.from_config(
        pipe.unet.config,
        block_out_channels=(16,),
        layers_per_block=(1,),
        num_heads=(2,),
        attention=("text",),
        cross_attention_dim=6,
        residual=(True,),
        temporal_blocks=(False,),
    ).eval()
    return with_choices(pipe, unet=unet, guidance_scale=3.0)


def _words(seed: int) -> torch.Tensor:
    return 3 * torch.randn(1, 5, 6, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "text",
    [
        {"prompt": "a cat"},
        {"negative_prompt": "blur"},
        {"prompt_embeds": _words(0)},
        {"negative_prompt_embeds": _words(0)},
        {"guidance_scale": 6.0},
    ],
)
def test_a_model_without_text_refuses_it(pipe, text):
    with pytest.raises(ConfigError, match="this model has no text"):
        pipe(video_of(1), **text)


@pytest.mark.parametrize("text", [{}, {"prompt": "a cat"}, {"prompt_embeds": _words(0)}])
def test_a_model_with_text_but_no_encoder_asks_for_embeddings(with_text, text):
    with pytest.raises(ModelError, match="embed"):
        with_text(video_of(1), **text)


def test_guidance_goes_from_the_negative_prompt_through_the_prompt(with_text):
    prompts = {"prompt_embeds": _words(0), "negative_prompt_embeds": _words(1)}
    video = video_of(1)
    guided = latents_of(with_text, video, **prompts, guidance_scale=3)
    positive = latents_of(with_text, video, prompt_embeds=_words(0), guidance_scale=1)
    negative = latents_of(with_text, video, prompt_embeds=_words(1), guidance_scale=1)
    assert (positive - negative).abs().max() > 1e-4
    assert_same(guided, negative + 3 * (positive - negative))


# Values out of range


@pytest.mark.parametrize("level", [0, 100])
def test_noise_levels_up_to_the_bound_of_the_model_are_taken(pipe, level):
    assert latents_of(pipe, video_of(1), noise_level=level).isfinite().all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"noise_level": -1}, "noise_level = -1; this model takes 0 to 100"),
        ({"noise_level": 101}, "noise_level = 101; this model takes 0 to 100"),
        ({"num_inference_steps": 0}, "num_inference_steps = 0; it must be at least 1"),
        ({"propagation_steps": (1,)}, "propagation_steps has 1; with 1 steps they can be 0 to 0"),
        ({"propagation_steps": (0, -1)}, "propagation_steps has -1"),
        ({"segment_length": 0}, "segment_length = 0; it must be at least 1"),
        ({"segment_length": -2}, "segment_length = -2"),
        ({"tile": 0}, "tile = 0; it must be at least 1"),
        ({"tile": -16}, "tile = -16"),
    ],
)
def test_a_value_out_of_range_is_an_error_that_says_the_range(pipe, call, message):
    with pytest.raises(ConfigError, match=message):
        pipe(video_of(2), **call)


def test_a_clip_without_frames_is_an_error(pipe):
    with pytest.raises(InputError, match="are empty; give at least one"):
        pipe(video_of(1)[:0])


def test_the_models_own_propagation_steps_beyond_the_steps_asked_for_are_left_out(pipe):
    late = with_choices(pipe, propagation_steps=(0, 5), num_inference_steps=6)
    assert late(video_of(2), num_inference_steps=1).state is not None


def test_an_unknown_sampling_key_is_an_error_that_suggests_the_right_one(pipe):
    with pytest.raises(ConfigError, match="segment_lenght; did you mean segment_length"):
        with_choices(pipe, segment_lenght=4)


# Clean frames


@pytest.fixture(scope="module")
def with_clean_weights(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with weights of its own for frames that lost nothing but size."""
    folder = tmp_path_factory.mktemp("models") / "clean"
    shutil.copytree(tiny_model, folder)
    pipe, other = pipe_of(tiny_model), pipe_of(tiny_model)
    torch.nn.init.normal_(other.unet.conv_out.weight, std=0.05)
    networks, others = ({"unet": p.unet, "vae": p.vae} for p in (pipe, other))
    save_other_weights(networks, others, folder / "clean.safetensors")
    return folder


def test_clean_frames_have_weights_of_their_own(pipe, with_clean_weights):
    both = pipe_of(with_clean_weights)
    plain = latents_of(pipe, video_of(3))
    assert_same(latents_of(both, video_of(3)), plain, atol=0)
    assert (latents_of(both, video_of(3), clean=True) - plain).abs().max() > 1e-3
    assert_same(latents_of(both, video_of(3)), plain, atol=0)


def test_a_model_without_weights_for_clean_frames_refuses_them(pipe):
    with pytest.raises(ConfigError, match="no weights for clean frames"):
        pipe(video_of(1), clean=True)
