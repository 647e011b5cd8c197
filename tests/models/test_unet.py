"""The U-Net: the published numbers, diffusers' image network, every size, and what sees what."""

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from tests.parity import fixture, our_key, published_shapes, small_unet
from vsr.errors import ConfigError
from vsr.models import blocks
from vsr.models.transformer import VideoTransformer
from vsr.models.unet import UNetVideoModel

NARROW = {
    "block_out_channels": (16, 16, 32, 32),
    "num_heads": (2, 2, 2, 2),
    "cross_attention_dim": 16,
    "norm_groups": 8,
}
WINDOWED = {
    "block_out_channels": (16,),
    "layers_per_block": (1,),
    "num_heads": (2,),
    "attention": ("window",),
    "window": (2, 4, 4),
    "cross_attention_dim": None,
    "residual": (True,),
    "skip": "add",
    "temporal_attention": False,
    "temporal_resnet": False,
    "temporal_blocks": (False,),
    "mid_temporal_block": False,
    "norm": "none",
    "attention_norm": "none",
}


def _unet(**config) -> UNetVideoModel:
    torch.manual_seed(0)
    return UNetVideoModel(**config).eval()


def _inputs(unet: UNetVideoModel, t: int, h: int, w: int, batch: int = 1) -> dict:
    generator = torch.Generator().manual_seed(1)
    text = unet.config["cross_attention_dim"]
    channels = unet.config["in_channels"] - 3
    return {
        "sample": torch.randn(batch, channels, t, h, w, generator=generator),
        "timestep": torch.tensor(625),
        "low_res": torch.rand(batch, 3, t, h, w, generator=generator) * 2 - 1,
        "class_labels": torch.tensor([120]),
        "encoder_hidden_states": torch.randn(batch, 5, text, generator=generator) if text else None,
    }


@torch.no_grad()
def _run(unet: UNetVideoModel, inputs: dict) -> torch.Tensor:
    return unet(**inputs).sample


def _one_frame(inputs: dict, k: int) -> dict:
    part = {name: inputs[name][:, :, k : k + 1] for name in ("sample", "low_res")}
    return inputs | part


def test_its_defaults_have_the_published_keys_and_shapes():
    with torch.device("meta"):
        state = UNetVideoModel().state_dict()
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    published = published_shapes("unet").items()
    assert found == {our_key(key): shape for key, shape in published if our_key(key)}


def test_its_defaults_have_the_published_number_of_parameters():
    with torch.device("meta"):
        unet = UNetVideoModel()
    assert round(sum(p.numel() for p in unet.parameters()) / 1e6, 2) == 691.04


def test_it_has_the_numbers_of_the_published_network():
    given = fixture("unet")
    inputs = {name: given[name] for name in ("sample", "timestep", "low_res")}
    inputs |= {"class_labels": given["noise_level"], "encoder_hidden_states": given["text"]}
    found = _run(small_unet(), inputs)[..., ::2, ::2]
    # float32 sums in another order give 1e-5
    torch.testing.assert_close(found, given["output"], atol=5e-5, rtol=0)


@pytest.fixture(scope="module")
def image_network() -> UNet2DConditionModel:
    """diffusers' network of the x4 upscaler, with few channels."""
    torch.manual_seed(0)
    return UNet2DConditionModel(
        in_channels=7,
        out_channels=4,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
        up_block_types=(*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"),
        only_cross_attention=(True, True, True, False),
        block_out_channels=NARROW["block_out_channels"],
        attention_head_dim=2,
        cross_attention_dim=NARROW["cross_attention_dim"],
        norm_num_groups=NARROW["norm_groups"],
        num_class_embeds=1000,
        use_linear_projection=True,
    ).eval()


def _inflated(image_network: UNet2DConditionModel, norm: str) -> UNetVideoModel:
    unet = _unet(**NARROW, norm=norm)
    report = unet.load_state_dict(image_network.state_dict(), strict=False)
    assert not report.unexpected_keys
    return unet


@torch.no_grad()
def _each_frame(image_network: UNet2DConditionModel, inputs: dict) -> torch.Tensor:
    stacked = torch.cat([inputs["sample"], inputs["low_res"]], dim=1)
    frames = [
        image_network(
            frame,
            inputs["timestep"],
            encoder_hidden_states=inputs["encoder_hidden_states"],
            class_labels=inputs["class_labels"],
        ).sample
        for frame in stacked.unbind(dim=2)
    ]
    return torch.stack(frames, dim=2)


@pytest.mark.parametrize(("t", "norm"), [(1, "clip"), (8, "frame")])
def test_inflated_and_untrained_in_time_it_is_the_image_network_of_diffusers(
    image_network, t, norm
):
    unet = _inflated(image_network, norm)
    inputs = _inputs(unet, t, 16, 24)
    torch.testing.assert_close(
        _run(unet, inputs), _each_frame(image_network, inputs), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("norm", ["frame", "none"])
def test_untrained_in_time_it_gives_eight_frames_as_it_gives_each(norm):
    unet = _unet(**NARROW, norm=norm)
    inputs = _inputs(unet, 8, 16, 8)
    each = [_run(unet, _one_frame(inputs, k)) for k in range(8)]
    torch.testing.assert_close(_run(unet, inputs), torch.cat(each, dim=2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("t", [1, 3, 14])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (17, 23), (30, 34)])
@pytest.mark.parametrize("kinds", ["published", "windowed"])
def test_any_size_and_length_keeps_its_shape(t, size, kinds):
    config = dict(NARROW)
    if kinds == "windowed":
        config |= {"attention": ("window", "none", "window", "window"), "skip": "add"}
    unet = _unet(**config)
    output = _run(unet, _inputs(unet, t, *size))
    assert output.shape == (1, 4, t, *size)
    assert output.isfinite().all()


def test_entries_of_a_batch_do_not_see_each_other():
    unet = _unet(**NARROW)
    inputs = _inputs(unet, 2, 8, 8, batch=2)
    alone = {name: inputs[name][1:] for name in ("sample", "low_res", "encoder_hidden_states")}
    torch.testing.assert_close(
        _run(unet, inputs)[1:], _run(unet, inputs | alone), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("kinds", ["published", "windowed"])
def test_one_entry_with_several_texts_gives_what_each_text_gives_alone(kinds):
    config = dict(NARROW)
    if kinds == "windowed":
        config |= {"attention": ("window", "none", "window", "window"), "skip": "add"}
    unet = _unet(**config)
    inputs = _inputs(unet, 2, 17, 9)
    texts = torch.randn(3, 5, NARROW["cross_attention_dim"])
    alone = [_run(unet, inputs | {"encoder_hidden_states": text[None]}) for text in texts]
    together = _run(unet, inputs | {"encoder_hidden_states": texts})
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["encoder_hidden_states", "class_labels", "timestep", "low_res"])
def test_every_condition_changes_what_it_predicts(name):
    unet = _unet(**NARROW)
    inputs = _inputs(unet, 1, 8, 8)
    assert not torch.allclose(
        _run(unet, inputs), _run(unet, inputs | {name: inputs[name] // 2}), atol=1e-4
    )


# Columns that a change spreads over: a convolution 1, a window of 4 up to 3. In their order: the
# first convolution, the level's resnet and window, the middle (resnet, window, resnet), resnet and
# window on the way up, the last convolution.
REACH = 1 + (2 + 3) + (2 + 3 + 2) + (2 + 3) + 1


def test_a_change_does_not_reach_beyond_convolutions_and_windows():
    unet = _unet(**WINDOWED)
    inputs = _inputs(unet, 4, 8, 3 * REACH)
    other = inputs | {"sample": inputs["sample"].clone()}
    other["sample"][..., 0] += 1
    found = (_run(unet, other) - _run(unet, inputs)).abs().amax(dim=(0, 1, 2, 3))
    assert found[:4].min() > 1e-3
    assert found[REACH + 1 :].max() < 1e-6


def test_without_temporal_layers_frames_see_each_other_through_windows_alone():
    unet = _unet(**WINDOWED)
    inputs = _inputs(unet, 8, 8, 8)
    other = inputs | {"sample": inputs["sample"].clone()}
    other["sample"][:, :, 0] += 1
    found = (_run(unet, other) - _run(unet, inputs)).abs().amax(dim=(0, 1, 3, 4))
    # windows of two frames: down and up (0, 1), the middle, shifted, (1, 2); then up (2, 3)
    assert found[:4].min() > 1e-4
    assert found[4:].max() < 1e-6


def test_a_trained_temporal_layer_carries_a_change_to_other_frames():
    unet = _unet(**NARROW, norm="frame")
    torch.nn.init.normal_(unet.mid_temp_block.shift_conv.weight)
    inputs = _inputs(unet, 3, 8, 8)
    other = inputs | {"sample": inputs["sample"].clone()}
    other["sample"][:, :, 0] += 1
    assert (_run(unet, other) - _run(unet, inputs))[:, :, 1:].abs().amax() > 1e-4


def test_a_frame_window_holds_for_its_own_call_alone():
    unet = _unet(**NARROW, attention=("full", "none", "none", "full"))
    inputs = _inputs(unet, 1, 8, 8)
    whole = _run(unet, inputs)
    assert not torch.allclose(_run(unet, inputs | {"frame_window": 3}), whole, atol=1e-5)
    assert torch.equal(_run(unet, inputs), whole)


@pytest.mark.parametrize(("t", "h", "w"), [(5, 16, 24), (2, 9, 10)])
def test_large_maps_are_computed_by_frames_and_rows_to_the_same_prediction(
    monkeypatch: pytest.MonkeyPatch, t: int, h: int, w: int
) -> None:
    unet = _unet(
        **WINDOWED
        | {
            "block_out_channels": (16, 16),
            "layers_per_block": (2, 1),
            "num_heads": (2, 2),
            "attention": ("none", "window"),
            "residual": (False, True),
            "temporal_blocks": (True, True),
            "temporal_block_first": True,
            "temporal_block_spatial": False,
            "temporal_kernels": (3, 3),
            "activation": "prelu",
        }
    )
    for parameter in unet.parameters():
        if parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.05)
    inputs = _inputs(unet, t, h, w)
    whole = _run(unet, inputs)
    monkeypatch.setattr(blocks, "_LARGEST_AT_ONCE", 0)
    torch.testing.assert_close(_run(unet, inputs), whole)


def test_a_new_backend_reaches_every_attention():
    unet = _unet(**NARROW)
    unet.set_attention_backend("xformers")
    transformers = [m for m in unet.modules() if isinstance(m, VideoTransformer)]
    attentions = [m for t in transformers for m in t.modules() if hasattr(m, "backend")]
    assert len(attentions) == 3 * len(transformers) == 3 * 16
    assert {attention.backend for attention in attentions} == {"xformers"}


def test_an_unknown_backend_is_an_error_that_suggests_the_right_one():
    with pytest.raises(ConfigError, match="sdpa"):
        _unet(**WINDOWED).set_attention_backend("spda")


def test_a_list_of_another_length_than_the_levels_is_an_error_that_names_it():
    with pytest.raises(ConfigError, match="num_heads needs a value for each of 1 levels, found 2"):
        _unet(**WINDOWED | {"num_heads": (1, 2)})


def test_an_unknown_kind_of_attention_is_an_error_that_suggests_the_right_one():
    with pytest.raises(ConfigError, match="did you mean window"):
        _unet(**WINDOWED | {"attention": ("windows",)})


def test_it_comes_back_from_its_folder_as_it_was(tmp_path):
    unet = _unet(**WINDOWED)
    unet.save_pretrained(tmp_path)
    again = UNetVideoModel.from_pretrained(tmp_path)
    inputs = _inputs(unet, 2, 8, 8)
    assert torch.equal(_run(again, inputs), _run(unet, inputs))
