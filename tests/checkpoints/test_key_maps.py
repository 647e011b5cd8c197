"""State dicts of others under our names: every rename, and every misfit by its key."""

import pytest
import torch

from tests.parity import our_key, published_shapes
from vsr.checkpoints import key_maps
from vsr.errors import ModelError
from vsr.models.unet import UNetVideoModel


def _state(**shapes: tuple[int, ...]) -> dict[str, torch.Tensor]:
    return {key.replace("__", "."): torch.ones(shape) for key, shape in shapes.items()}


def test_the_prefix_of_data_parallel_goes():
    assert list(key_maps.without_wrapper(_state(module__a=(1,), module__b=(1,)))) == ["a", "b"]


def test_a_module_beside_others_keeps_its_name():
    assert list(key_maps.without_wrapper(_state(module__a=(1,), b=(1,)))) == ["module.a", "b"]


@pytest.mark.parametrize("network", ["vae_3d", "vae_video"])
def test_all_published_attention_names_become_the_new_ones(network: str):
    state = {key: torch.zeros(1) for key in published_shapes(network)}
    assert list(key_maps.with_new_attention_names(state)) == [our_key(key) for key in state]


def test_lavies_names_become_those_of_upscale_a_video():
    names = list(published_shapes("unet_small"))
    theirs = [to_lavie(name) for name in names]
    assert len(set(theirs) - set(names)) > 100
    assert list(key_maps.from_lavie({name: torch.zeros(1) for name in theirs})) == names


def test_rotary_frequencies_are_kept_once():
    alias = "mid_block.attentions.0.transformer_blocks.0.attn_temporal.rotary_emb.freqs"
    state = {key_maps.ROTARY_KEY: torch.ones(2), alias: torch.ones(2)}
    assert list(key_maps.with_one_rotary(state, where="x")) == [key_maps.ROTARY_KEY]
    with pytest.raises(ModelError, match=f"x: {alias} differs"):
        key_maps.with_one_rotary(state | {alias: torch.zeros(2)}, where="x")


def test_one_by_one_convolutions_become_linear_layers():
    shapes = {"a": torch.Size((2, 3))}
    value = torch.rand(2, 3, 1, 1)
    fitted = key_maps.fitted({"a": value}, shapes, where="x")
    assert torch.equal(fitted["a"], value[:, :, 0, 0])


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (_state(a=(2,)), "x lacks b"),
        (_state(a=(2,), b=(1,), c=(1,), d=(1,)), "x has, too many, c and 1 more"),
        (_state(a=(3,), b=(1,)), r"x: a has shape \(3,\), the config says \(2,\)"),
    ],
)
def test_what_does_not_fit_is_named(state: dict[str, torch.Tensor], words: str):
    shapes = {"a": torch.Size((2,)), "b": torch.Size((1,))}
    with pytest.raises(ModelError, match=words):
        key_maps.fitted(state, shapes, where="x")


def test_fresh_temporal_layers_are_of_a_size_to_learn_from_and_always_the_same():
    unet = UNetVideoModel(
        block_out_channels=(32, 32),
        layers_per_block=(1, 1),
        num_heads=(1, 1),
        attention=("none", "full"),
        cross_attention_dim=8,
        residual=(True, True),
        temporal_blocks=(True, True),
    )
    shapes = {key: value.shape for key, value in unet.state_dict().items()}
    fresh = key_maps.inflated({}, shapes)
    assert "conv_in.weight" not in fresh
    assert torch.equal(fresh[key_maps.ROTARY_KEY], unet.state_dict()[key_maps.ROTARY_KEY])
    assert not fresh["mid_temp_block.shift_conv.weight"].any()
    inner = fresh["mid_temp_block.resblocks_3d_temporal.conv1.weight"]
    assert 0.5 < inner.std() * (32 * 5) ** 0.5 * 3**0.5 < 1.5
    again = key_maps.inflated({}, shapes)
    assert all(torch.equal(fresh[key], again[key]) for key in fresh)


def to_lavie(name: str) -> str:
    for ours, theirs in (
        ("down_temp_blocks", "down_temporal_blocks"),
        ("mid_temp_block", "mid_temporal_block"),
        ("up_temp_blocks", "up_temporal_blocks"),
        ("resblocks_3d_temporal", "resblocks_3d_t"),
        ("resblocks_3d_spatial", "resblocks_3d_s"),
    ):
        name = name.replace(ours, theirs)
    return name
