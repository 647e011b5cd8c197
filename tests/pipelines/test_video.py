"""The whole method with tiny real models: the published runs, and what must not matter does not."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

from tests.parity import fixture, small_unet, small_vae
from tests.pipelines.videos import (
    HEIGHT,
    WIDTH,
    assert_same,
    latents_of,
    pipe_of,
    video_of,
    with_choices,
)
from vsr.checkpoints.load import load_pipeline
from vsr.errors import InputError
from vsr.models.flow_estimators import flow_estimator
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import enlarged_latents
from vsr.ops.flow import Flows
from vsr.ops.noise import frame_noise
from vsr.pipelines.video import VideoUpscalePipeline


@pytest.fixture(scope="module")
def pipe(tiny_model: Path) -> VideoUpscalePipeline:
    return pipe_of(tiny_model)


def _forward(pipe: VideoUpscalePipeline) -> VideoUpscalePipeline:
    """Propagation that looks back only, so that clips can be joined exactly."""
    config = asdict(pipe.settings.propagation) | {"direction": "forward"}
    return with_choices(pipe, propagation=config)


def _still(pairs: int) -> Flows:
    zero = torch.zeros(1, 2, pairs, HEIGHT, WIDTH)
    return Flows(zero, zero)


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
    assert_same(output.latents, expected["latents"], atol=5e-4)
    assert_same(output.frames[..., ::5, ::5], expected["frames"], atol=5e-4)


# What comes out, of what goes in


def test_arrays_are_bytes_of_frames_four_times_larger(pipe):
    frames = pipe(video_of(3)).frames
    assert (frames.dtype, frames.shape) == (np.uint8, (3, 4 * HEIGHT, 4 * WIDTH, 3))


def test_tensors_are_floats_of_the_same_frames(pipe):
    arrays = pipe(video_of(3)).frames
    tensors = pipe(video_of(3), output_type="pt").frames
    assert tensors.shape == (1, 3, 3, 4 * HEIGHT, 4 * WIDTH)
    assert tensors.abs().max() <= 1
    bytes_ = (tensors[0] * 127.5 + 127.5).round().to(torch.uint8).permute(1, 2, 3, 0)
    assert np.array_equal(bytes_.numpy(), arrays)


def test_bytes_in_arrays_and_tensors_and_floats_are_the_same_frames(pipe):
    video = video_of(3)
    tensor = torch.from_numpy(video)
    floats = (tensor.permute(3, 0, 1, 2)[None].float() / 127.5) - 1
    expected = pipe(video).frames
    assert np.array_equal(pipe(tensor).frames, expected)
    assert np.array_equal(pipe(floats).frames, expected)


def test_the_result_looks_like_its_source(pipe):
    video = video_of(3)
    large = pipe(video).frames.astype(float)
    small = large.reshape(3, HEIGHT, 4, WIDTH, 4, 3).mean(axis=(2, 4))
    assert np.abs(small - video).mean() < 20


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 9), (16, 33)])
def test_frames_of_any_size_come_out_four_times_larger(pipe, size):
    video = np.ascontiguousarray(video_of(2, height=size[0], width=size[1]))
    assert pipe(video).frames.shape == (2, 4 * size[0], 4 * size[1], 3)


@pytest.mark.parametrize("steps", [1, 3])
def test_latents_of_every_number_of_steps_are_finite_and_of_the_small_size(pipe, steps):
    latents = pipe(video_of(2), num_inference_steps=steps).latents
    assert latents.shape == (1, 48, 2, HEIGHT, WIDTH)
    assert latents.isfinite().all()


def test_a_model_saved_and_loaded_gives_the_same(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    expected = pipe(video_of(3)).frames
    for again in (
        load_pipeline(tmp_path, device="cpu"),
        VideoUpscalePipeline.from_pretrained(tmp_path),
    ):
        assert again.settings == pipe.settings
        assert np.array_equal(again(video_of(3)).frames, expected)


@pytest.mark.parametrize("color", ["wavelet", "adain"])
def test_matched_colours_have_the_means_of_the_small_frames(pipe, color):
    video = video_of(2, height=32, width=32)
    means = video.mean(axis=(1, 2))
    off = np.abs(pipe(video, color="none").frames.mean(axis=(1, 2)) - means).max()
    matched = np.abs(pipe(video, color=color).frames.mean(axis=(1, 2)) - means).max()
    assert matched < min(1, off)


# Noise belongs to frames of the film


def test_the_same_seed_gives_the_same_and_another_one_another(pipe):
    one, same, other = (pipe(video_of(2), seed=seed).latents for seed in (7, 7, 8))
    assert torch.equal(one, same)
    assert not torch.allclose(one, other, atol=1e-3)


def test_the_noise_is_that_of_the_absolute_frame_numbers(pipe):
    noise = {
        stream: frame_noise((channels, HEIGHT, WIDTH), frames=range(5, 8), seed=3, stream=stream)[
            None
        ]
        for stream, channels in (("latents", 48), ("low_res", 3))
    }
    video = torch.from_numpy(video_of(3)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    start = enlarged_latents(video) + pipe.settings.start_strength * noise["latents"]
    given = latents_of(pipe, video, latents=start, low_res_noise=noise["low_res"])
    assert_same(latents_of(pipe, video, seed=3, first_frame=5), given)


def test_without_a_noise_level_the_small_frames_are_seen_clean(pipe):
    loud = 100 * torch.ones(1, 3, 2, HEIGHT, WIDTH)
    clean = latents_of(pipe, video_of(2), noise_level=0)
    assert torch.equal(latents_of(pipe, video_of(2), noise_level=0, low_res_noise=loud), clean)
    assert not torch.allclose(latents_of(pipe, video_of(2), noise_level=50), clean, atol=1e-4)


# Segments and clips


def test_latents_do_not_depend_on_the_clips_that_a_film_is_split_into(pipe):
    video = video_of(20)
    whole = latents_of(pipe, video)
    # Segments are (0, 8), (6, 14), (12, 20): both clips hold the one in the middle whole.
    first = latents_of(pipe, video[:14])
    second = latents_of(pipe, video[6:], first_frame=6)
    assert_same(first[:, :, :12], whole[:, :, :12])
    assert_same(second[:, :, 2:], whole[:, :, 8:])


def test_segments_of_one_frame_are_clips_of_one_frame(pipe):
    video = video_of(4)
    each = [latents_of(pipe, video[k : k + 1], first_frame=k) for k in range(4)]
    assert_same(latents_of(pipe, video, segment_length=1), torch.cat(each, dim=2))


def test_a_segment_longer_than_the_clip_is_the_clip(pipe):
    video = video_of(10)
    one = latents_of(pipe, video, segment_length=10)
    assert torch.equal(latents_of(pipe, video, segment_length=50), one)
    assert not torch.allclose(latents_of(pipe, video, segment_length=4), one, atol=1e-4)


# Propagation and its state


def test_without_propagation_there_is_no_state_and_no_flow_is_estimated(pipe):
    fresh = with_choices(pipe)
    assert fresh(video_of(3), propagation_steps=()).state is None
    assert fresh.flow_estimator is None


def test_with_propagation_flow_is_estimated_and_the_state_is_that_of_the_last_frame(pipe):
    fresh, video = with_choices(pipe), video_of(3)
    state = fresh(video).state
    assert fresh.flow_estimator is not None
    assert state.frames == 3
    assert_same(state.frame, torch.from_numpy(video[-1]).permute(2, 0, 1)[None] / 127.5 - 1)


def test_flows_that_are_given_take_the_place_of_the_estimated_ones(pipe):
    fresh, video = with_choices(pipe), video_of(3)
    small = torch.from_numpy(video).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    flows = flow_estimator("dis")(small)
    given = fresh(video, flows=(flows.forward, flows.backward)).latents
    assert fresh.flow_estimator is None
    assert_same(given, fresh(video).latents)
    assert not torch.allclose(fresh(video, flows=_still(2)).latents, given, atol=1e-4)


def test_a_state_of_frames_of_another_size_is_an_error_that_says_which(pipe):
    small = with_choices(pipe)
    state = small(video_of(3)).state
    with pytest.raises(InputError, match=r"state\.frame has shape .* these frames need"):
        small(video_of(3)[:, :-4], state=state)


def test_flows_for_another_number_of_frames_are_an_error(pipe):
    with pytest.raises(InputError, match="flows do not fit"):
        pipe(video_of(4), flows=_still(2))


def test_propagation_along_no_motion_makes_frames_of_a_still_film_more_alike(pipe):
    video = np.repeat(video_of(1), 6, axis=0)
    off = latents_of(pipe, video)
    on = pipe(video, flows=_still(5), propagation_steps=(0,)).latents
    assert on.std(dim=2).mean() < 0.8 * off.std(dim=2).mean()


@pytest.mark.parametrize("steps", [1, 3])
def test_clips_that_hand_on_their_state_give_what_one_long_clip_gives(pipe, steps):
    forward, video = _forward(pipe), video_of(6)
    call = {
        "segment_length": 1,
        "num_inference_steps": steps,
        "propagation_steps": range(steps),
    }
    whole = forward(video, **call)
    first = forward(video[:4], **call)
    second = forward(video[4:], **call, first_frame=4, state=first.state)
    assert_same(torch.cat([first.latents, second.latents], dim=2), whole.latents)
    assert second.state.frames == whole.state.frames == 6
    assert_same(second.state.latents, whole.state.latents)


def test_a_clip_whose_state_was_dropped_begins_anew(pipe):
    forward, video = _forward(pipe), video_of(6)
    state = forward(video[:4], segment_length=1).state
    call = {"segment_length": 1, "first_frame": 4}
    joined = forward(video[4:], **call, state=state).latents
    dropped = forward(video[4:], **call).latents
    assert not torch.allclose(joined, dropped, atol=1e-4)
    assert_same(dropped[:, :, :1], latents_of(pipe, video[4:5], first_frame=4))


# Tiles


@pytest.mark.parametrize("tile", [WIDTH, 100])
def test_one_tile_over_the_whole_frame_changes_nothing(pipe, tile):
    assert np.array_equal(pipe(video_of(3), tile=tile).frames, pipe(video_of(3)).frames)


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
    return with_choices(pipe, unet=unet, tile_overlap=16)


def test_tiles_of_convolutions_change_nothing_where_one_tile_lies_alone(local):
    video = video_of(2, height=24, width=80)
    whole = latents_of(local, video)
    tiled = latents_of(local, video, tile=48)
    # columns of the tiles: (0, 48) and (32, 80)
    assert_same(tiled[..., :32], whole[..., :32])
    assert_same(tiled[..., 48:], whole[..., 48:])


def test_blended_tiles_stay_near_the_whole(local):
    video = video_of(2, height=24, width=80)
    whole = local(video, output_type="pt", propagation_steps=()).frames
    tiled = local(video, output_type="pt", propagation_steps=(), tile=48).frames
    assert (tiled - whole).square().mean() < 1e-3 * whole.var()


def test_tiles_of_a_model_with_windows_come_out_whole(pipe):
    frames = pipe(video_of(3, height=24, width=40), tile=16).frames
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
    whole, windowed = with_choices(pipe, unet=unet), with_choices(pipe, unet=unet, frame_window=4)
    expected = latents_of(whole, video_of(1))
    assert not torch.allclose(latents_of(windowed, video_of(1)), expected, atol=1e-5)
    assert torch.equal(latents_of(whole, video_of(1)), expected)
