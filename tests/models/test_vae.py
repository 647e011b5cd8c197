"""The autoencoder: the published numbers, diffusers' image autoencoder, packing and sliding."""

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from tests.parity import VIDEO_DECODER, fixture, our_key, published_shapes, small_vae
from vsr.models import blocks
from vsr.models.vae import (
    AutoencoderKLVideo,
    enlarged_latents,
    pack,
    sliding,
    unpack,
)

PACKED = {
    "latent_channels": 48,
    "latents": "unshuffle",
    "block_out_channels": (8,),
    "layers_per_block": 0,
    "norm": "none",
    "activation": "prelu",
    "mid_attention": False,
    "temporal_kernel": (3, 1, 1),
    "condition_channels": 8,
    "scaling_factor": 1.0,
    "decode_frames": 2,
}
# Convolutions along time on the longest way through the packed decoder: two blocks of the
# condition, two in the middle, one of the level.
REACH = 5


def _frames(t: int, h: int, w: int, *, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, t, h, w, generator=generator) * 2 - 1


def _packed(**config) -> AutoencoderKLVideo:
    """A packed autoencoder whose decoder is not at its start, where it does nothing."""
    torch.manual_seed(0)
    vae = AutoencoderKLVideo(**PACKED | config).eval()
    for parameter in vae.parameters():
        if parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.05)
    return vae


@pytest.mark.parametrize(("kind", "decoder"), [("vae_3d", {}), ("vae_video", VIDEO_DECODER)])
def test_it_has_the_published_keys_and_shapes(kind, decoder):
    with torch.device("meta"):
        state = AutoencoderKLVideo(**decoder).state_dict()
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    assert found == {our_key(key): shape for key, shape in published_shapes(kind).items()}


@torch.no_grad()
@pytest.mark.parametrize("kind", ["3d", "video"])
def test_its_decoder_has_the_numbers_of_the_published_one(kind):
    given = fixture("vae")
    found = small_vae(kind).decode(given["latents"], given["low_res"]).sample[..., ::3, ::3]
    # float32 sums in another order give 7e-6
    torch.testing.assert_close(found, given[f"decoded_{kind}"], atol=5e-5, rtol=0)


@torch.no_grad()
def test_its_encoder_has_the_numbers_of_the_published_one():
    given = fixture("vae")
    latents = small_vae("3d").encode(given["image"]).latent_dist
    torch.testing.assert_close(latents.mean, given["encoder_mean"], atol=5e-5, rtol=0)
    torch.testing.assert_close(latents.logvar, given["encoder_logvar"], atol=5e-5, rtol=0)


@pytest.fixture(scope="module")
def image_autoencoder() -> AutoencoderKL:
    """diffusers' autoencoder of the x4 upscaler, with few channels."""
    torch.manual_seed(0)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 32),
        layers_per_block=2,
        latent_channels=4,
        norm_num_groups=8,
    ).eval()


@pytest.fixture(scope="module")
def inflated(image_autoencoder) -> AutoencoderKLVideo:
    vae = AutoencoderKLVideo(block_out_channels=(16, 32, 32), norm="frame", norm_groups=8).eval()
    vae.load_state_dict(image_autoencoder.state_dict(), strict=True)
    return vae


@torch.no_grad()
def test_it_decodes_each_frame_as_the_image_autoencoder_of_diffusers(image_autoencoder, inflated):
    latents = torch.randn(1, 4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    each = [image_autoencoder.decode(frame).sample for frame in latents.unbind(2)]
    found = inflated.decode(latents, _frames(3, 5, 6)).sample
    torch.testing.assert_close(found, torch.stack(each, dim=2), atol=1e-5, rtol=0)


@torch.no_grad()
def test_it_encodes_each_frame_as_the_image_autoencoder_of_diffusers(image_autoencoder, inflated):
    frames = _frames(3, 20, 24)
    each = [image_autoencoder.encode(frame).latent_dist.mean for frame in frames.unbind(2)]
    found = inflated.encode(frames).latent_dist.mean
    torch.testing.assert_close(found, torch.stack(each, dim=2), atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize(("h", "w"), [(1, 1), (3, 5), (8, 6)])
def test_latents_are_a_quarter_as_high_and_wide_as_frames(inflated, h, w):
    latents = inflated.encode_scaled(_frames(2, 4 * h, 4 * w))
    assert latents.shape == (1, 4, 2, h, w)
    assert inflated.decode_frames(latents, _frames(2, h, w)).shape == (1, 3, 2, 4 * h, 4 * w)


@torch.no_grad()
def test_the_pipeline_sees_latents_scaled_and_the_decoder_takes_the_scale_off(inflated):
    frames = _frames(2, 8, 8)
    mode = inflated.encode(frames).latent_dist.mode()
    torch.testing.assert_close(inflated.encode_scaled(frames), 0.08333 * mode)
    decoded = inflated.decode(mode, _frames(2, 2, 2)).sample.clamp(-1, 1)
    found = inflated.decode_frames(0.08333 * mode, _frames(2, 2, 2))
    torch.testing.assert_close(found, decoded, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("packed", [True, False])
def test_scaled_latents_decode_in_one_call_as_by_sliding_over_all_frames(inflated, packed):
    vae = _packed() if packed else inflated
    small = _frames(2, 3, 5)
    latents = vae.encode_enlarged(small)
    found = vae.decode_scaled(latents, small).clamp(-1, 1)
    assert torch.equal(found, vae.decode_frames(latents, small, frames=2))


@torch.no_grad()
def test_latents_of_enlarged_frames_are_those_of_frames_enlarged_by_a_cubic_kernel(inflated):
    small = _frames(2, 3, 5)
    frames = small.permute(0, 2, 1, 3, 4).flatten(0, 1)
    large = torch.nn.functional.interpolate(frames, scale_factor=4, mode="bicubic")
    large = large.unflatten(0, (1, 2)).permute(0, 2, 1, 3, 4)
    assert torch.equal(inflated.encode_enlarged(small), inflated.encode_scaled(large))


@pytest.mark.parametrize("packed", [True, False])
def test_maps_that_can_be_warped_come_back_as_the_same_latents(inflated, packed):
    vae = _packed() if packed else inflated
    latents = torch.randn(1, 48 if packed else 4, 2, 3, 5)
    maps = vae.warpable(latents)
    assert maps.shape[-2:] == ((12, 20) if packed else (3, 5))
    assert torch.equal(vae.from_warpable(maps), latents)


def test_packing_is_exactly_invertible():
    frames = _frames(3, 8, 12)
    assert torch.equal(unpack(pack(frames)), frames)


def test_a_packed_latent_is_the_pixels_of_its_place_colour_slowest():
    frames = _frames(2, 8, 12)
    place = frames[0, :, 1, 4:8, 8:12]
    assert torch.equal(pack(frames)[0, :, 1, 1, 2], place.flatten())


@pytest.mark.parametrize("rows", [5, 40])
def test_large_packed_latents_are_decoded_by_strips_to_the_same_change(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    torch.manual_seed(0)
    vae = AutoencoderKLVideo(**PACKED).eval()
    torch.nn.init.normal_(vae.decoder.conv_out.weight, std=0.1)
    latents, low_res = torch.randn(1, 48, 3, rows, 6), torch.randn(1, 3, 3, rows, 6)
    with torch.no_grad():
        whole = vae.residual(latents, low_res)
        monkeypatch.setattr(blocks, "_LARGEST_AT_ONCE", 0)
        torch.testing.assert_close(vae.residual(latents, low_res), whole)


def test_enlarged_latents_are_the_packed_repeated_pixels():
    small = _frames(2, 3, 4)
    large = small.repeat_interleave(4, dim=3).repeat_interleave(4, dim=4)
    assert torch.equal(enlarged_latents(small), pack(large))


@torch.no_grad()
def test_a_fresh_packed_decoder_gives_back_what_was_encoded():
    vae = AutoencoderKLVideo(**PACKED)
    frames = _frames(5, 12, 8)
    decoded = vae.decode_frames(vae.encode_scaled(frames), _frames(5, 3, 2, seed=1))
    assert torch.equal(decoded, frames)


def test_the_distribution_of_packed_latents_is_certain():
    frames = _frames(2, 8, 8)
    latents = AutoencoderKLVideo(**PACKED).encode(frames).latent_dist
    assert torch.equal(latents.sample(), pack(frames))


@torch.no_grad()
@pytest.mark.parametrize("step", [1, 2, 3, 7, 20])
def test_decoding_by_sliding_with_enough_context_is_decoding_at_once(step):
    vae = _packed(decode_frames=step, decode_context=REACH)
    latents, low_res = pack(_frames(13, 16, 16)) / 4, _frames(13, 4, 4)
    once = vae.decode(latents, low_res).sample.clamp(-1, 1)
    torch.testing.assert_close(vae.decode_frames(latents, low_res), once, atol=1e-6, rtol=0)


@torch.no_grad()
def test_decoding_by_sliding_without_context_has_seams():
    vae = _packed(decode_context=0)
    latents, low_res = pack(_frames(4, 16, 16)) / 4, _frames(4, 4, 4)
    once = vae.decode(latents, low_res).sample.clamp(-1, 1)
    assert not torch.allclose(vae.decode_frames(latents, low_res), once, atol=1e-4)


@torch.no_grad()
def test_the_decoder_sees_the_small_frames():
    vae = _packed()
    latents = pack(_frames(2, 8, 8))
    one, other = (vae.decode(latents, _frames(2, 2, 2, seed=seed)).sample for seed in (1, 2))
    assert (one - other).abs().max() > 1e-3


@torch.no_grad()
def test_frames_come_in_groups_and_within_range():
    vae = _packed(decode_frames=3)
    groups = list(vae.decode_stream(2 * pack(_frames(7, 8, 8)), _frames(7, 2, 2)))
    assert [group.shape[2] for group in groups] == [3, 3, 1]
    assert max(group.abs().max() for group in groups) == 1


def _image(**config) -> AutoencoderKLVideo:
    torch.manual_seed(0)
    shape = {"block_out_channels": (16, 32, 32), "norm": "frame", "norm_groups": 8}
    return AutoencoderKLVideo(**shape | config).eval()


@pytest.mark.parametrize("kind", [_packed, _image])
@torch.no_grad()
def test_frames_that_come_singly_are_those_of_the_groups(kind):
    vae = kind(decode_frames=3, decode_context=1)
    latents = vae.encode_scaled(_frames(7, 8, 8))
    groups = torch.cat(list(vae.decode_stream(latents, _frames(7, 2, 2))), dim=2)
    singles = list(vae.decode_singly(latents, _frames(7, 2, 2)))
    assert [one.shape[2] for one in singles] == [1] * 7
    assert torch.equal(torch.cat(singles, dim=2), groups)


@pytest.mark.parametrize(("step", "context"), [(3, 0), (4, 2), (16, 5), (1, 1)])
def test_a_sliding_window_keeps_every_frame_once_and_in_order(step, context):
    for count in range(1, 40):
        kept = [
            list(range(count))[seen][keep]
            for seen, keep in sliding(count, step=step, context=context)
        ]
        assert [frame for group in kept for frame in group] == list(range(count))


def test_it_comes_back_from_its_folder_as_it_was(tmp_path):
    vae = _packed()
    vae.save_pretrained(tmp_path)
    again = AutoencoderKLVideo.from_pretrained(tmp_path)
    assert again.config["decode_frames"] == 2
    state = again.state_dict()
    assert all(torch.equal(state[key], value) for key, value in vae.state_dict().items())
