"""SeedVRPipeline gives the numbers of the published script, and a shot does not feel its clips."""

import numpy as np
import pytest
import torch

from tests.seedvr import fixture, small_dit, small_vae
from vsr.errors import ConfigError, InputError
from vsr.pipelines.seedvr.networks import Networks
from vsr.pipelines.seedvr.pipeline import SeedVRPipeline
from vsr.pipelines.seedvr.plan import LOOK_AHEAD, ClipPlan, latents_of
from vsr.pipelines.seedvr.sampler import condition_timestep
from vsr.pipelines.seedvr.shot import Texts
from vsr.pipelines.seedvr.state import ShotState

CPU = torch.device("cpu")
SEEDVR = {"num_inference_steps": 4, "guidance_scale": 6.5, "condition_noise_scale": 0.1}


def _pipe(kind: str = "3b") -> SeedVRPipeline:
    text = torch.randn(9, 48, generator=torch.Generator().manual_seed(5))
    return SeedVRPipeline(Networks(small_dit(kind), small_vae(), CPU), Texts(text, text.flip(0)))


@pytest.fixture(scope="module")
def pipe() -> SeedVRPipeline:
    return _pipe()


def _frames(count: int, height: int = 12, width: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, height, width, 3), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("name", "kind", "area", "options"),
    [
        ("seedvr2_3b_t6", "3b", 6144, {}),
        ("seedvr2_7b_t1", "7b", 5120, {}),
        ("seedvr_3b_t3", "3b", 3072, SEEDVR),
    ],
)
def test_whole_runs_have_the_published_numbers(name, kind, area, options):
    given = fixture(name)
    extra = {}
    if options:
        extra = {
            "condition_noise": given["condition_noise"],
            "negative_text_embeds": given["negative_text"],
        }
    call = {
        **{"target_area": area, "fit": "crop", "color": "wavelet", "text_embeds": given["text"]},
        **{"noise": given["noise"], "posterior_noise": given["posterior_noise"]},
        **options,
        **extra,
    }
    frames = given["frames"].permute(0, 2, 3, 1)
    found = _pipe(kind)(frames, output_type="pt", **call)
    for ours, published in (
        (found.latents, given["final_latents"]),
        (found.decoded[:, :, ::3, ::3], given["decoded"]),
    ):
        torch.testing.assert_close(ours, published, atol=1e-3, rtol=0)
    rounded = (found.frames[0].permute(1, 0, 2, 3) * 127.5 + 127.5).round()
    assert (rounded - given["output"].float()).abs().max() <= 1  # ties in rounding


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(512, 512, 137.2), (848, 480, 159.7), (1280, 720, 231.4), (1920, 1072, 353.4)],
)
def test_the_noise_of_the_condition_is_shifted_as_the_script_does(width, height, expected):
    found = condition_timestep(0.1, height=height // 8, width=width // 8)
    assert found == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("count", [1, 2, 5, 6])
def test_as_many_frames_come_out_as_go_in_at_the_size_asked_for(pipe, count):
    found = pipe(_frames(count), size=(27, 41))
    assert found.frames.shape == (count, 27, 41, 3)
    assert found.frames.dtype == "uint8"


def test_numbers_with_gaps_are_refused(pipe):
    with pytest.raises(InputError, match="give the number of the first"):
        pipe(_frames(2), first_frame=[0, 2])


def test_guidance_1_and_no_noise_need_neither_negative_text_nor_noise(pipe):
    plain = pipe(_frames(1), size=(16, 16))
    given = pipe(
        _frames(1),
        size=(16, 16),
        guidance_scale=1.0,
        condition_noise_scale=0.0,
        negative_text_embeds=torch.zeros(3, 48),
        condition_noise=torch.zeros(1, 2, 2, 16),
    )
    assert (plain.frames == given.frames).all()


def test_a_stream_of_clips_decodes_as_the_shot_whose_latents_it_has(pipe):
    frames, size = _frames(53), (16, 24)
    parts = list(_clips(pipe, frames, [20, 20, 13], size))
    latents = torch.cat([part.latents for part in parts])
    assert len(latents) == latents_of(53)
    with torch.no_grad():
        scaled = latents.permute(3, 0, 1, 2)[None] / pipe.networks.vae.scaling_factor
        whole = pipe.networks.vae.decode(scaled)[0].permute(1, 0, 2, 3)[:53]
    decoded = torch.cat([part.decoded for part in parts])
    torch.testing.assert_close(decoded[..., :16, :24], whole[..., :16, :24], atol=1e-4, rtol=0)


def test_clips_of_one_frame_make_a_shot(pipe):
    frames, size = _frames(7, 8, 8), (16, 16)
    parts = list(_clips(pipe, frames, [1, 2, 1, 1, 2], size))
    assert [part.frames.shape[2] for part in parts] == [1, 2, 1, 1, 2]


@pytest.mark.slow
def test_a_clip_after_a_resume_is_the_same_to_the_bit(pipe):
    frames, size = _frames(200, 8, 8), (16, 16)
    lengths = [28] * 6 + [32]
    direct = list(_clips(pipe, frames, lengths, size))
    resumed = list(_clips(pipe, frames, lengths, size, resume_at=6))
    assert torch.equal(direct[-1].frames, resumed[-1].frames)


@pytest.mark.slow
def test_where_segments_meet_frames_change_no_more_than_inside(pipe):
    frames = _frames(4 * pipe.clip_frames)
    large = np.stack(list(pipe.upscale(frames.numpy(), detector=None))).astype(np.float32)
    change = np.abs(np.diff(large, axis=0)).mean(axis=(1, 2, 3))
    borders = change[pipe.clip_frames - 1 :: pipe.clip_frames]
    assert len(borders) == 3
    assert borders.mean() <= 1.05 * change.mean()


def test_a_resumed_shot_goes_on_to_the_same_bytes(pipe):
    frames, size = _frames(24, 8, 8), (16, 16)
    direct = list(_clips(pipe, frames, [12, 12], size))
    resumed = list(_clips(pipe, frames, [12, 12], size, resume_at=1))
    assert torch.equal(direct[1].frames, resumed[1].frames)


def test_a_clip_can_be_made_again_after_it_failed(pipe):
    frames, size = _frames(24, 8, 8), (16, 16)
    first = pipe(frames[:12], ahead=frames[12:], size=size)
    again = [pipe(frames[12:], state=first.state, first_frame=12, size=size) for _ in range(2)]
    assert (again[0].frames == again[1].frames).all()


def test_networks_that_wait_give_the_same_frames_and_are_not_copied(monkeypatch):
    frames, pipe = _frames(6, 8, 8), _pipe()
    expected = pipe(frames, size=(16, 16)).frames
    pipe.offload_idle_networks(CPU)
    weight = pipe.networks.transformer.blocks[0].mlp.vid.proj_in.weight
    place = weight.data_ptr()
    assert (pipe(frames, size=(16, 16)).frames == expected).all()
    assert weight.data_ptr() == place


def test_networks_that_would_fill_the_device_wait_from_the_start(monkeypatch, caplog):
    monkeypatch.setattr("vsr.pipelines.seedvr.networks._free_bytes", lambda _: 1000.0)
    pipe = _pipe()
    pipe.networks.place(CPU, torch.float32)
    assert pipe.networks.waits
    assert "would fill cpu" in caplog.text


def test_propagation_keeps_the_number_of_frames(pipe):
    frames, size = _frames(6), (24, 32)
    found = pipe(frames, size=size, propagation_steps=(0,))
    assert found.frames.shape == (6, 24, 32, 3)
    assert found.state.pixels is not None


def test_frames_of_16_bits_stay_deep(pipe):
    deep = (_frames(2).to(torch.int32) * 257).to(torch.uint16).numpy()
    assert pipe(deep, size=(16, 16)).frames.dtype == "uint16"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"fit": "cut"}, "pad or crop"),
        ({"prompt": "sharp"}, "no use"),
        ({"propagation_steps": (1,)}, "none or 0"),
        ({"condition_noise_scale": 2.0}, "0 to 1"),
        ({"target_area": -1}, "above 0"),
    ],
)
def test_a_value_without_use_is_refused(pipe, options, problem):
    with pytest.raises(ConfigError, match=problem):
        pipe(_frames(1), **options)


def test_a_preset_is_refused(pipe):
    with pytest.raises(ConfigError, match="no use"):
        pipe.configured({}, preset="upscale-a-video")


def test_text_and_noise_of_another_shape_are_refused(pipe):
    with pytest.raises(InputError, match="words x 48"):
        pipe(_frames(1), text_embeds=torch.zeros(3, 40))
    with pytest.raises(InputError, match="noise has shape"):
        pipe(_frames(1), size=(16, 16), noise=torch.zeros(2, 2, 2, 16))


def test_the_7b_network_in_float16_is_warned_of(caplog):
    _pipe("7b").to(torch.float16)
    assert "not made for float16" in caplog.text


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_stored_in_8_bits_give_what_casting_them_up_first_gives(dtype):
    eight, sample, stored, cast = torch.float8_e4m3fn, _frames(6), _pipe(), _pipe()
    stored.networks.transformer.store(eight)
    stored.to(dtype)
    for name, parameter in cast.networks.transformer.named_parameters():
        if stored.networks.transformer.get_parameter(name).dtype == eight:
            parameter.data = parameter.data.to(eight).to(dtype)
    cast.to(dtype)
    assert torch.equal(stored(sample, size=(16, 16)).latents, cast(sample, size=(16, 16)).latents)
    blocks = stored.networks.transformer.blocks
    size = sum(weight.nbytes for weight in blocks.parameters())
    assert size < 1.05 * sum(weight.numel() for weight in blocks.parameters())
    assert stored.dtype == dtype


def test_a_model_without_text_asks_for_it():
    bare = SeedVRPipeline(Networks(small_dit("3b"), small_vae(), CPU))
    with pytest.raises(ConfigError, match="text_embeds"):
        bare(_frames(1), size=(16, 16))


@pytest.mark.parametrize("lengths", [[1], [2], [28, 28, 5], [29, 3], [16, 16, 16, 1], [4, 4, 4, 4]])
def test_plans_cover_every_latent_once_and_need_only_frames_that_are_known(lengths):
    total, finished, encoded, decoded = sum(lengths), 0, 0, 0
    for length in lengths:
        ahead = min(LOOK_AHEAD, total - finished - length)
        plan = ClipPlan.of(
            length, ahead, finished=finished, encoded=encoded, decoded=decoded, kept=encoded
        )
        known = finished + length + ahead
        assert plan.encode.start == encoded and plan.decode.start == decoded
        needed = 4 * (plan.encode.stop - 1) + 1 if plan.encode else 0
        assert plan.padding == max(0, needed - known)
        assert plan.padding == 0 or known == total
        assert plan.segment.start <= decoded and plan.segment.stop >= plan.decode.stop
        finished, encoded, decoded = finished + length, plan.encode.stop, plan.decode.stop
    assert decoded == latents_of(total)


def _clips(pipe, frames, lengths, size, *, resume_at=None):
    start, state = 0, None
    for number, length in enumerate(lengths):
        if number == resume_at:
            state = ShotState.from_bytes(state.to_bytes(), CPU)
        stop = start + length
        ahead = frames[stop : stop + LOOK_AHEAD]
        found = pipe(
            frames[start:stop],
            ahead=ahead if len(ahead) else None,
            first_frame=start,
            state=state,
            size=size,
            output_type="pt",
        )
        yield found
        start, state = stop, found.state
