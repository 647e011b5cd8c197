"""The whole method with tiny real models: the published runs, and what must not matter does not."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

from tests.parity import fixture, small_unet, small_vae
from vsr.checkpoints.load import load_pipeline
from vsr.errors import ConfigError, InputError, ModelError
from vsr.models.flow_estimators import DisFlow
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import enlarged_latents
from vsr.ops.flow import Flows
from vsr.ops.noise import frame_noise
from vsr.pipelines.video import VideoUpscalePipeline

HEIGHT, WIDTH = 12, 20


@pytest.fixture(scope="module")
def pipe(tiny_model: Path) -> VideoUpscalePipeline:
    pipe = load_pipeline(tiny_model, device="cpu")
    # Windows reach over all frames of a segment, so that its borders matter.
    torch.manual_seed(0)
    torch.nn.init.normal_(pipe.unet.conv_out.weight, std=0.02)
    torch.nn.init.normal_(pipe.vae.decoder.conv_out.weight, std=0.02)
    return pipe


def _with(pipe: VideoUpscalePipeline, *, unet=None, **sampling) -> VideoUpscalePipeline:
    """The same networks (or another U-Net) with other choices of the model's."""
    components = pipe.components | ({} if unet is None else {"unet": unet})
    return VideoUpscalePipeline(**components, sampling=asdict(pipe.settings) | sampling)


def _forward(pipe: VideoUpscalePipeline) -> VideoUpscalePipeline:
    """Propagation that looks back only, so that clips can be joined exactly."""
    config = asdict(pipe.settings.propagation) | {"direction": "forward"}
    return _with(pipe, propagation=config)


def _video(frames: int, *, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A smooth picture that moves by half a pixel a frame."""
    t, y, x = np.mgrid[:frames, :height, :width]
    x = x + t / 2
    channels = [x / 2 + y / 3, x / 4 - y / 2, x / 3 + np.sin(y)]
    return np.stack([128 + 90 * np.sin(c) for c in channels], axis=-1).astype(np.uint8)


def _still(pairs: int) -> Flows:
    zero = torch.zeros(1, 2, pairs, HEIGHT, WIDTH)
    return Flows(zero, zero)


def _latents(pipe: VideoUpscalePipeline, frames, **call) -> torch.Tensor:
    return pipe(frames, **{"propagation_steps": (), "output_type": "pt"} | call).latents


def _same(found: torch.Tensor, expected: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


# The published runs


def test_a_whole_run_has_the_numbers_of_the_published_pipeline():
    given, start = fixture("run_low_res"), fixture("run_start")
    noise = {"beta_schedule": "scaled_linear", "beta_start": 1e-4, "beta_end": 0.02}
    scheduler = DDIMScheduler(
        **noise,
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    published = VideoUpscalePipeline(
        small_unet(), small_vae("3d"), scheduler, DDPMScheduler(**noise)
    )
    output = published(
        given["low_res"],
        preset="upscale-a-video",
        prompt_embeds=given["text"],
        negative_prompt_embeds=given["negative_text"],
        num_inference_steps=5,
        guidance_scale=6,
        noise_level=120,
        propagation_steps=(3, 4),
        flows=(start["flow_forward"], start["flow_backward"]),
        low_res_noise=given["low_res_noise"],
        latents=start["latents"],
        output_type="pt",
    )
    expected = fixture("run_result")
    # the U-Net's 1e-5 grows by guidance 6 over 5 steps
    _same(output.latents, expected["latents"], atol=5e-4)
    _same(output.frames[..., ::5, ::5], expected["frames"], atol=5e-4)


# What comes out, of what goes in


def test_arrays_are_bytes_of_frames_four_times_larger(pipe):
    frames = pipe(_video(3)).frames
    assert (frames.dtype, frames.shape) == (np.uint8, (3, 4 * HEIGHT, 4 * WIDTH, 3))


def test_tensors_are_floats_of_the_same_frames(pipe):
    arrays = pipe(_video(3)).frames
    tensors = pipe(_video(3), output_type="pt").frames
    assert tensors.shape == (1, 3, 3, 4 * HEIGHT, 4 * WIDTH)
    assert tensors.abs().max() <= 1
    bytes_ = (tensors[0] * 127.5 + 127.5).round().to(torch.uint8).permute(1, 2, 3, 0)
    assert np.array_equal(bytes_.numpy(), arrays)


def test_bytes_in_arrays_and_tensors_and_floats_are_the_same_frames(pipe):
    video = _video(3)
    tensor = torch.from_numpy(video)
    floats = (tensor.permute(3, 0, 1, 2)[None].float() / 127.5) - 1
    expected = pipe(video).frames
    assert np.array_equal(pipe(tensor).frames, expected)
    assert np.array_equal(pipe(floats).frames, expected)


def test_the_result_looks_like_its_source(pipe):
    video = _video(3)
    large = pipe(video).frames.astype(float)
    small = large.reshape(3, HEIGHT, 4, WIDTH, 4, 3).mean(axis=(2, 4))
    assert np.abs(small - video).mean() < 20


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 9), (16, 33)])
def test_frames_of_any_size_come_out_four_times_larger(pipe, size):
    video = np.ascontiguousarray(_video(2, height=size[0], width=size[1]))
    assert pipe(video).frames.shape == (2, 4 * size[0], 4 * size[1], 3)


@pytest.mark.parametrize("steps", [1, 3])
def test_latents_of_every_number_of_steps_are_finite_and_of_the_small_size(pipe, steps):
    latents = pipe(_video(2), num_inference_steps=steps).latents
    assert latents.shape == (1, 48, 2, HEIGHT, WIDTH)
    assert latents.isfinite().all()


def test_a_model_saved_and_loaded_gives_the_same(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    expected = pipe(_video(3)).frames
    for again in (
        load_pipeline(tmp_path, device="cpu"),
        VideoUpscalePipeline.from_pretrained(tmp_path),
    ):
        assert again.settings == pipe.settings
        assert np.array_equal(again(_video(3)).frames, expected)


@pytest.mark.parametrize("color", ["wavelet", "adain"])
def test_matched_colours_have_the_means_of_the_small_frames(pipe, color):
    video = _video(2, height=32, width=32)
    means = video.mean(axis=(1, 2))
    off = np.abs(pipe(video, color="none").frames.mean(axis=(1, 2)) - means).max()
    matched = np.abs(pipe(video, color=color).frames.mean(axis=(1, 2)) - means).max()
    assert matched < min(1, off)


# Noise belongs to frames of the film


def test_the_same_seed_gives_the_same_and_another_one_another(pipe):
    one, same, other = (pipe(_video(2), seed=seed).latents for seed in (7, 7, 8))
    assert torch.equal(one, same)
    assert not torch.allclose(one, other, atol=1e-3)


def test_the_noise_is_that_of_the_absolute_frame_numbers(pipe):
    noise = {
        stream: frame_noise((channels, HEIGHT, WIDTH), frames=range(5, 8), seed=3, stream=stream)[
            None
        ]
        for stream, channels in (("latents", 48), ("low_res", 3))
    }
    video = torch.from_numpy(_video(3)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    start = enlarged_latents(video) + pipe.settings.start_strength * noise["latents"]
    given = _latents(pipe, video, latents=start, low_res_noise=noise["low_res"])
    _same(_latents(pipe, video, seed=3, first_frame=5), given)


def test_without_a_noise_level_the_small_frames_are_seen_clean(pipe):
    loud = 100 * torch.ones(1, 3, 2, HEIGHT, WIDTH)
    clean = _latents(pipe, _video(2), noise_level=0)
    assert torch.equal(_latents(pipe, _video(2), noise_level=0, low_res_noise=loud), clean)
    assert not torch.allclose(_latents(pipe, _video(2), noise_level=50), clean, atol=1e-4)


# Segments and clips


def test_latents_do_not_depend_on_the_clips_that_a_film_is_split_into(pipe):
    video = _video(20)
    whole = _latents(pipe, video)
    # Segments are (0, 8), (6, 14), (12, 20): both clips hold the one in the middle whole.
    first = _latents(pipe, video[:14])
    second = _latents(pipe, video[6:], first_frame=6)
    _same(first[:, :, :12], whole[:, :, :12])
    _same(second[:, :, 2:], whole[:, :, 8:])


def test_segments_of_one_frame_are_clips_of_one_frame(pipe):
    video = _video(4)
    each = [_latents(pipe, video[k : k + 1], first_frame=k) for k in range(4)]
    _same(_latents(pipe, video, segment_length=1), torch.cat(each, dim=2))


def test_a_segment_longer_than_the_clip_is_the_clip(pipe):
    video = _video(10)
    one = _latents(pipe, video, segment_length=10)
    assert torch.equal(_latents(pipe, video, segment_length=50), one)
    assert not torch.allclose(_latents(pipe, video, segment_length=4), one, atol=1e-4)


# Propagation and its state


def test_without_propagation_there_is_no_state_and_no_flow_is_estimated(pipe):
    fresh = _with(pipe)
    assert fresh(_video(3), propagation_steps=()).state is None
    assert fresh.flow_estimator is None


def test_with_propagation_flow_is_estimated_and_the_state_is_that_of_the_last_frame(pipe):
    fresh, video = _with(pipe), _video(3)
    state = fresh(video).state
    assert fresh.flow_estimator is not None
    assert state.frames == 3
    _same(state.frame, torch.from_numpy(video[-1]).permute(2, 0, 1)[None] / 127.5 - 1)


def test_flows_that_are_given_take_the_place_of_the_estimated_ones(pipe):
    fresh, video = _with(pipe), _video(3)
    small = torch.from_numpy(video).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    flows = DisFlow()(small)
    given = fresh(video, flows=(flows.forward, flows.backward)).latents
    assert fresh.flow_estimator is None
    _same(given, fresh(video).latents)
    assert not torch.allclose(fresh(video, flows=_still(2)).latents, given, atol=1e-4)


def test_a_state_of_frames_of_another_size_is_an_error_that_says_which(pipe):
    small = _with(pipe)
    state = small(_video(3)).state
    with pytest.raises(InputError, match=r"state\.frame has shape .* these frames need"):
        small(_video(3)[:, :-4], state=state)


def test_flows_for_another_number_of_frames_are_an_error(pipe):
    with pytest.raises(InputError, match="flows do not fit"):
        pipe(_video(4), flows=_still(2))


def test_propagation_along_no_motion_makes_frames_of_a_still_film_more_alike(pipe):
    video = np.repeat(_video(1), 6, axis=0)
    off = _latents(pipe, video)
    on = pipe(video, flows=_still(5), propagation_steps=(0,)).latents
    assert on.std(dim=2).mean() < 0.8 * off.std(dim=2).mean()


@pytest.mark.parametrize("steps", [1, 3])
def test_clips_that_hand_on_their_state_give_what_one_long_clip_gives(pipe, steps):
    forward, video = _forward(pipe), _video(6)
    call = {
        "segment_length": 1,
        "num_inference_steps": steps,
        "propagation_steps": range(steps),
    }
    whole = forward(video, **call)
    first = forward(video[:4], **call)
    second = forward(video[4:], **call, first_frame=4, state=first.state)
    _same(torch.cat([first.latents, second.latents], dim=2), whole.latents)
    assert second.state.frames == whole.state.frames == 6
    _same(second.state.latents, whole.state.latents)


def test_a_clip_whose_state_was_dropped_begins_anew(pipe):
    forward, video = _forward(pipe), _video(6)
    state = forward(video[:4], segment_length=1).state
    call = {"segment_length": 1, "first_frame": 4}
    joined = forward(video[4:], **call, state=state).latents
    dropped = forward(video[4:], **call).latents
    assert not torch.allclose(joined, dropped, atol=1e-4)
    _same(dropped[:, :, :1], _latents(pipe, video[4:5], first_frame=4))


# Tiles


@pytest.mark.parametrize("tile", [WIDTH, 100])
def test_one_tile_over_the_whole_frame_changes_nothing(pipe, tile):
    assert np.array_equal(pipe(_video(3), tile=tile).frames, pipe(_video(3)).frames)


@pytest.fixture(scope="module")
def local(pipe) -> VideoUpscalePipeline:
    """A model of convolutions alone: a pixel sees 14 others to each side."""
    torch.manual_seed(0)
    unet = UNetVideoModel.from_config(
        pipe.unet.config,
        block_out_channels=(16,),
        layers_per_block=(2,),
        num_heads=(1,),
        attention=("none",),
        residual=(True,),
        temporal_blocks=(False,),
    ).eval()
    attention = unet.mid_block.attentions[0].proj_out
    for parameter in attention.parameters():
        torch.nn.init.zeros_(parameter)
    return _with(pipe, unet=unet, tile_overlap=16)


def test_tiles_of_convolutions_change_nothing_where_one_tile_lies_alone(local):
    video = _video(2, height=24, width=80)
    whole = _latents(local, video)
    tiled = _latents(local, video, tile=48)
    # columns of the tiles: (0, 48) and (32, 80)
    _same(tiled[..., :32], whole[..., :32])
    _same(tiled[..., 48:], whole[..., 48:])


def test_blended_tiles_stay_near_the_whole(local):
    video = _video(2, height=24, width=80)
    whole = local(video, output_type="pt", propagation_steps=()).frames
    tiled = local(video, output_type="pt", propagation_steps=(), tile=48).frames
    assert (tiled - whole).square().mean() < 1e-3 * whole.var()


def test_tiles_of_a_model_with_windows_come_out_whole(pipe):
    frames = pipe(_video(3, height=24, width=40), tile=16).frames
    assert frames.shape == (3, 96, 160, 3)


# Windows in place of full attention


def test_a_frame_window_is_that_of_its_settings_alone(pipe):
    torch.manual_seed(0)
    unet = UNetVideoModel.from_config(
        pipe.unet.config,
        block_out_channels=(16,),
        layers_per_block=(1,),
        num_heads=(2,),
        attention=("full",),
        residual=(True,),
        temporal_blocks=(False,),
    ).eval()
    whole, windowed = _with(pipe, unet=unet), _with(pipe, unet=unet, frame_window=4)
    expected = _latents(whole, _video(1))
    assert not torch.allclose(_latents(windowed, _video(1)), expected, atol=1e-5)
    assert torch.equal(_latents(whole, _video(1)), expected)


# Text


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
    return _with(pipe, unet=unet, guidance_scale=3.0)


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
        pipe(_video(1), **text)


@pytest.mark.parametrize("text", [{}, {"prompt": "a cat"}, {"prompt_embeds": _words(0)}])
def test_a_model_with_text_but_no_encoder_asks_for_embeddings(with_text, text):
    with pytest.raises(ModelError, match="embed"):
        with_text(_video(1), **text)


def test_guidance_goes_from_the_negative_prompt_through_the_prompt(with_text):
    prompts = {"prompt_embeds": _words(0), "negative_prompt_embeds": _words(1)}
    video = _video(1)
    guided = _latents(with_text, video, **prompts, guidance_scale=3)
    positive = _latents(with_text, video, prompt_embeds=_words(0), guidance_scale=1)
    negative = _latents(with_text, video, prompt_embeds=_words(1), guidance_scale=1)
    assert (positive - negative).abs().max() > 1e-4
    _same(guided, negative + 3 * (positive - negative))


# Values out of range


@pytest.mark.parametrize("level", [0, 100])
def test_noise_levels_up_to_the_bound_of_the_model_are_taken(pipe, level):
    assert _latents(pipe, _video(1), noise_level=level).isfinite().all()


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
        pipe(_video(2), **call)


def test_a_clip_without_frames_is_an_error(pipe):
    with pytest.raises(InputError, match="are empty; give at least one"):
        pipe(_video(1)[:0])


def test_the_models_own_propagation_steps_beyond_the_steps_asked_for_are_left_out(pipe):
    late = _with(pipe, propagation_steps=(0, 5), num_inference_steps=6)
    assert late(_video(2), num_inference_steps=1).state is not None


def test_an_unknown_sampling_key_is_an_error_that_suggests_the_right_one(pipe):
    with pytest.raises(ConfigError, match="segment_lenght; did you mean segment_length"):
        _with(pipe, segment_lenght=4)
