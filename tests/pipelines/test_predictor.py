"""The prediction of a clip: guidance by its formula and on its interval, text looked at once."""

from dataclasses import replace

import pytest
import torch

from vsr.models.attention import TextAttention, TextMemory
from vsr.models.unet import UNetVideoModel
from vsr.ops.segments import blend_plan
from vsr.ops.tiles import plan_tiles
from vsr.pipelines.predictor import ClipPredictor, Guidance
from vsr.runtime.timing import NullTimer

TEXT = torch.stack([torch.zeros(3, 4), torch.ones(3, 4)])


def test_guidance_goes_from_the_negative_prediction_through_the_positive_one():
    guidance = Guidance(TEXT, 6.0, (0.0, 1.0))
    negative, positive = torch.randn(2, 1, 4, 2, 3, 3)
    found = guidance.combine(torch.cat([negative, positive]))
    torch.testing.assert_close(found, 6 * positive - 5 * negative)


@pytest.mark.parametrize(("share", "texts"), [(0.1, 1), (0.4, 2), (0.5, 2), (0.6, 2), (0.9, 1)])
def test_outside_the_interval_the_prompt_counts_alone(share: float, texts: int):
    text = Guidance(TEXT, 6.0, (0.4, 0.6)).text_at(share)
    assert text is not None
    assert torch.equal(text, TEXT[-texts:])


def test_a_prediction_for_one_text_stays_as_it_is():
    output = torch.randn(1, 4, 2, 3, 3)
    assert Guidance(TEXT, 6.0, (0.0, 1.0)).combine(output) is output


def test_models_without_text_have_none_at_any_time():
    assert Guidance(None, 1.0, (0.4, 0.6)).text_at(0.5) is None


@pytest.fixture
def unet() -> UNetVideoModel:
    torch.manual_seed(0)
    return UNetVideoModel(
        block_out_channels=(32,),
        layers_per_block=(1,),
        num_heads=(1,),
        attention=("full",),
        cross_attention_dim=4,
        residual=(True,),
        temporal_blocks=(True,),
        mid_temporal_block=False,
    ).eval()


def _predictor(unet: UNetVideoModel, guidance: Guidance) -> ClipPredictor:
    return ClipPredictor(
        unet=unet,
        noisy=torch.randn(1, 3, 5, 8, 8, generator=torch.Generator().manual_seed(1)),
        level=torch.tensor([20]),
        guidance=guidance,
        segments=blend_plan(5, length=3, stride=2),
        tiles=plan_tiles(8, 8, tile=8, overlap=0),
        train_timesteps=1000,
        timer=NullTimer(),
    )


@torch.no_grad()
def test_keys_and_values_of_the_text_are_made_once_for_all_segments_and_steps(
    unet: UNetVideoModel,
):
    layers = [module for module in unet.modules() if isinstance(module, TextAttention)]
    calls: list[torch.nn.Module] = []
    for layer in layers:
        layer.to_k.register_forward_hook(lambda module, *_: calls.append(module))
    predict = _predictor(unet, Guidance(TEXT, 6.0, (0.4, 0.6)))
    latents = torch.randn(1, 4, 5, 8, 8)
    for timestep in (900, 800, 500, 400, 100):
        predict(latents, torch.tensor(timestep))
    # with guidance, and without
    assert len(calls) == 2 * len(layers)


@torch.no_grad()
def test_a_memory_of_the_text_gives_what_the_text_gives(unet: UNetVideoModel):
    inputs = {
        "sample": torch.randn(2, 4, 2, 8, 8),
        "timestep": torch.tensor(500),
        "low_res": torch.randn(2, 3, 2, 8, 8),
        "class_labels": torch.tensor([20]),
    }
    memory = TextMemory(TEXT)
    expected = unet(**inputs, encoder_hidden_states=TEXT).sample
    for _ in range(2):
        assert torch.equal(unet(**inputs, encoder_hidden_states=memory).sample, expected)


@torch.no_grad()
def test_guidance_off_its_interval_is_the_prediction_for_the_prompt(unet: UNetVideoModel):
    latents, timestep = torch.randn(1, 4, 5, 8, 8), torch.tensor(900)
    guided = _predictor(unet, Guidance(TEXT, 6.0, (0.4, 0.6)))
    alone = _predictor(unet, Guidance(TEXT[1:], 1.0, (0.0, 1.0)))
    torch.testing.assert_close(guided(latents, timestep), alone(latents, timestep))


@torch.no_grad()
def test_one_segment_and_tile_is_the_output_itself_with_nothing_to_blend(unet: UNetVideoModel):
    latents, timestep = torch.randn(1, 4, 5, 8, 8), torch.tensor(900)
    blended = _predictor(unet, Guidance(TEXT[1:], 1.0, (0.0, 1.0)))
    single = replace(blended, segments=blend_plan(5, length=5, stride=5))
    whole = replace(single, segments=single.segments * 2)
    torch.testing.assert_close(2 * single(latents, timestep), whole(latents, timestep))
