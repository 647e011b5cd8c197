"""Guides move the property that they are of to its target, and leave the rest alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vsr.checkpoints.load import load_pipeline
from vsr.errors import ConfigError, InputError
from vsr.models.vae import pack, unpack
from vsr.ops.frame_formats import as_low_res
from vsr.option_values import parse_guides
from vsr.pipelines.guides import (
    Distance,
    Guide,
    Guides,
    colour_statistics,
    inpainting,
    lightness,
    structure,
)
from vsr.pipelines.video import VideoUpscalePipeline
from vsr.video.images import encode_png

HEIGHT, WIDTH = 12, 20
LUMA = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1, 1)


def random(*shape: int, seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 0.5


LOW_RES = random(1, 3, 2, 6, 8, seed=0)
X0 = pack(random(1, 3, 2, 24, 32, seed=1))


def guided(distance: Distance, weight: float = 1.0) -> Tensor:
    """The large frames of `X0`, packed latents, after one step."""
    return unpack(Guides([Guide(distance, weight)], lambda z, _: unpack(z))(X0))


def luma(frames: Tensor) -> Tensor:
    return (frames * LUMA).sum(dim=1, keepdim=True)


def small(frames: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool3d(frames, (1, 4, 4))


def chroma(frames: Tensor) -> Tensor:
    return (frames - luma(frames))[:, [0, 2]]


def same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_lightness_reaches_its_target_and_colours_and_detail_stay() -> None:
    found, before = guided(lightness(LOW_RES)), unpack(X0)
    same(luma(small(found)), luma(LOW_RES))
    moved = found - before
    same(moved, LUMA / LUMA.square().sum() * luma(moved))  # along the weights of luma alone
    fine = [x - torch.nn.functional.interpolate(small(x), x.shape[2:]) for x in (found, before)]
    same(*fine)


def test_structure_reaches_its_target_and_detail_stays() -> None:
    found = guided(structure(LOW_RES))
    same(small(found), LOW_RES)
    fine = [x - torch.nn.functional.interpolate(small(x), x.shape[2:]) for x in (found, unpack(X0))]
    same(*fine)


def test_what_is_lost_is_left_to_the_model() -> None:
    lost = torch.zeros(6, 8)
    lost[1:4, 2:6] = 1
    found, free = guided(inpainting(LOW_RES, lost)), lost.bool()
    same(small(found)[..., ~free], LOW_RES[..., ~free])
    hole = free.repeat_interleave(4, 0).repeat_interleave(4, 1)
    assert torch.equal(found[..., hole], unpack(X0)[..., hole])


def test_colours_get_the_moments_of_the_reference_and_luma_stays() -> None:
    reference = random(1, 3, 9, 7, seed=2) * torch.tensor([1.2, 0.5, 0.8]).view(1, 3, 1, 1) + 0.1
    found = guided(colour_statistics(reference))
    same(luma(found), luma(unpack(X0)))
    wanted = chroma(reference[:, :, None])
    for frame in found.split(1, dim=2):
        for moment in (torch.mean, lambda x, dim: x.std(dim, correction=0)):
            got, target = (moment(of_frame.flatten(2), 2) for of_frame in (chroma(frame), wanted))
            torch.testing.assert_close(got, target, atol=1e-4, rtol=1e-3)


def test_half_the_weight_goes_half_the_way() -> None:
    half, whole = (guided(structure(LOW_RES), weight) for weight in (0.5, 1.0))
    same(half - unpack(X0), (whole - unpack(X0)) / 2)


# On tiny models


@pytest.fixture(scope="module")
def pipe(tiny_model: Path) -> VideoUpscalePipeline:
    pipe = load_pipeline(tiny_model, device="cpu")
    torch.manual_seed(0)
    torch.nn.init.normal_(pipe.unet.conv_out.weight, std=0.02)
    return pipe


def video() -> np.ndarray:
    t, y, x = np.mgrid[:3, :HEIGHT, :WIDTH]
    channels = [x / 2 + y / 3 + t / 2, x / 4 - y / 2, x / 3 + np.sin(y)]
    return np.stack([128 + 90 * np.sin(c) for c in channels], axis=-1).astype(np.uint8)


def run(pipe: VideoUpscalePipeline, guide: str | None, **call) -> Tensor:
    return pipe(
        video(), guide=guide, num_inference_steps=3, color="none", output_type="pt", **call
    ).latents


def test_a_guide_bends_a_run_towards_the_small_frames(pipe: VideoUpscalePipeline) -> None:
    target = as_low_res(video())
    free, bent, part = (run(pipe, guide) for guide in (None, "structure", "structure:0.3"))
    errors = [
        float((small(pipe.vae.warpable(x)) - target).abs().mean()) for x in (free, bent, part)
    ]
    assert errors[1] < 1e-3 * errors[0]
    assert errors[1] < errors[2] < errors[0]


def test_several_guides_at_once(pipe: VideoUpscalePipeline, tmp_path: Path) -> None:
    reference, mask = tmp_path / "red.png", tmp_path / "mask.png"
    red = np.tile(np.uint8([200, 60, 60]), (8, 8, 1))
    reference.write_bytes(encode_png(red))
    mask.write_bytes(encode_png(np.full((HEIGHT, WIDTH, 3), 255, np.uint8)))
    latents = run(pipe, f"colour={reference},inpaint={mask}")
    frames = pipe.vae.warpable(latents)
    wanted = chroma(as_low_res(red[None]))
    torch.testing.assert_close(
        chroma(frames).mean((2, 3, 4)), wanted.mean((2, 3, 4)), atol=0.02, rtol=0
    )


def test_a_guide_works_through_a_decoder() -> None:
    """A decoder that is no linear map, with its gradient."""
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(4, 16, 1), torch.nn.Conv2d(16, 48, 1)

    def decode(latents: Tensor, number: int) -> Tensor:
        x = layers[1](torch.tanh(layers[0](latents[:, :, 0])))
        return torch.nn.functional.pixel_shuffle(x, 4)[:, :, None]

    start, target = torch.randn(1, 4, 1, 6, 8), LOW_RES[:, :, :1] * 0.2
    distance = structure(target)
    before, after = (
        float(distance(decode(z, 0)[:, :, 0], 0).detach())
        for z in (start, Guides([Guide(distance)], decode, steps=4, pace=0.5)(start))
    )
    assert after < 0.6 * before


def test_a_run_of_one_step_takes_no_guides(pipe: VideoUpscalePipeline) -> None:
    with pytest.raises(ConfigError, match="give --steps 4"):
        pipe(video(), guide="structure", num_inference_steps=1)


def test_pictures_that_do_not_fit_are_refused(pipe: VideoUpscalePipeline, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no file"):
        run(pipe, f"colour={tmp_path / 'none.png'}")
    mask = tmp_path / "mask.png"
    mask.write_bytes(encode_png(np.zeros((30, 20, 3), np.uint8)))
    with pytest.raises(InputError, match="another shape than the 20x12"):
        run(pipe, f"inpaint={mask}")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("color=a.png", "did you mean colour?"),
        ("colour", "needs a picture, as colour=FILE.png"),
        ("structure=a.png", "takes no picture: write structure"),
        ("structure:1.5", "above 0 to 1"),
    ],
)
def test_a_guide_that_is_not_understood_is_refused(value: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_guides(value)
    assert said in str(raised.value)


def test_guides_have_pictures_and_weights() -> None:
    found = parse_guides("colour=a:b.png,inpaint=c.png:0.5, structure")
    assert [(g.name, g.path, g.weight) for g in found] == [
        ("colour", Path("a:b.png"), 1.0),
        ("inpaint", Path("c.png"), 0.5),
        ("structure", None, 1.0),
    ]
