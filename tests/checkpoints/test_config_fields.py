"""Published configs: what they say in our fields, and which are refused."""

import inspect

import pytest

from tests.parity import published_config
from vsr.checkpoints.config_fields import unet_fields, vae_fields
from vsr.errors import ModelError
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo


def _defaults(kind: type, fields: dict) -> dict:
    parameters = inspect.signature(kind.__init__).parameters
    values = {key: parameters[key].default for key in fields}
    return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}


def test_the_published_unet_is_the_one_that_our_defaults_build():
    fields = unet_fields(published_config("unet_video"), where="unet")
    assert fields == _defaults(UNetVideoModel, fields)


def test_the_published_autoencoder_is_the_one_that_our_defaults_build():
    fields = vae_fields(published_config("vae_3d"), where="vae")
    assert fields == _defaults(AutoencoderKLVideo, fields)


def test_the_video_autoencoder_differs_by_time_and_condition():
    plain = vae_fields(published_config("vae_3d"), where="vae")
    video = vae_fields(published_config("vae_video"), where="vae")
    assert {key: video[key] for key in video if video[key] != plain[key]} == {
        "temporal_kernel": [3, 3, 3],
        "condition_channels": 128,
    }


def test_heads_and_layers_can_differ_from_level_to_level():
    config = published_config("unet_video")
    config |= {"attention_head_dim": [4, 8, 8, 16], "layers_per_block": [1, 2, 2, 1]}
    fields = unet_fields(config, where="unet")
    assert fields["num_heads"] == [4, 8, 8, 16]
    assert fields["layers_per_block"] == [1, 2, 2, 1]


def test_levels_without_temporal_blocks_are_read_from_both_sides():
    config = published_config("unet_video") | {"down_temporal_idx": [0], "up_temporal_idx": [3]}
    assert unet_fields(config, where="unet")["temporal_blocks"] == [True, False, False, False]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"norm_epss": 1}, "unknown field norm_epss; did you mean norm_eps"),
        ({"freq_shift": 1}, "freq_shift = 1"),
        ({"class_embed_type": "timestep"}, "class_embed_type = timestep"),
        ({"block_out_channels": None}, "block_out_channels is missing"),
        ({"block_out_channels": [64, 64]}, "2 block_out_channels need as many"),
        ({"down_block_types": ["DownBlock2D"] * 3 + ["AttnDownBlock2D"]}, "AttnDownBlock2D"),
        ({"up_block_types": ["UpBlock3D"] * 4}, "do not mirror"),
        ({"only_cross_attention": True}, "lowest level must attend to itself"),
        ({"up_temporal_idx": [0]}, "both sides of a level"),
        ({"temporal_module_config": {"attention_block_types": ["Temporal"]}}, "Temporal"),
    ],
)
def test_a_unet_that_cannot_be_built_is_refused_by_its_field(change: dict, words: str):
    with pytest.raises(ModelError, match=words) as caught:
        unet_fields(published_config("unet_video") | change, where="x.json")
    assert str(caught.value).startswith("x.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shift_factor": 0.1}, "shift_factor = 0.1"),
        ({"up_block_types": ["UpDecoderBlock3D", "UpDecoderBlock3D_plus"]}, "all or none"),
        ({"down_block_types": ["Other"]}, "Other is not known"),
        ({"use_temporal_blocks": True}, "did you mean use_temporal_block"),
    ],
)
def test_an_autoencoder_that_cannot_be_built_is_refused_by_its_field(change: dict, words: str):
    with pytest.raises(ModelError, match=words):
        vae_fields(published_config("vae_video") | change, where="x.json")
