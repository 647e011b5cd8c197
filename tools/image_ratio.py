"""Time the full-width U-Net on a guided segment against diffusers' x4-upscaler U-Net.

    python tools/image_ratio.py --size 60x45 --frames 8 --threads 2 --repeats 3

Both get the same frames and two text prompts; weights are random. The networks take turns, and the
fastest turn of each counts, in seconds and in CPU seconds.
"""

import time
from argparse import ArgumentParser
from collections.abc import Callable

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from einops import rearrange
from random_model import drawn, published_unet

from vsr.models.blocks import channels_innermost
from vsr.runtime.device import threads_in_words
from vsr.runtime.memory import keep_freed_memory

_TEXTS, _WORDS, _TIMESTEP, _LEVEL = 2, 77, 500, 120


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="60x45", metavar="WxH", help="default: 60x45")
    parser.add_argument("--frames", type=int, default=8, help="frames of the segment (default: 8)")
    parser.add_argument("--threads", type=int, help="threads of PyTorch (default: all cores)")
    parser.add_argument("--repeats", type=int, default=3, help="turns per network (default: 3)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    keep_freed_memory()
    width, height = map(int, options.size.split("x"))
    runs = _runs(options.frames, height, width)
    best = {name: (float("inf"), float("inf")) for name in runs}
    for _ in range(options.repeats):
        for name, run in runs.items():
            best[name] = tuple(map(min, best[name], _timed(run)))
    base = best["diffusers, float32"]
    print(f"{options.frames} frames {options.size}, 2 texts, {threads_in_words()}")
    for name, own in best.items():
        wall, cpu = (a / b for a, b in zip(own, base, strict=True))
        print(f"{name:20} {own[0]:8.2f} s {wall:6.2f} times {own[1]:8.2f} CPU s {cpu:6.2f} times")


def _runs(frames: int, height: int, width: int) -> dict[str, Callable[[], object]]:
    generator = torch.Generator().manual_seed(1)
    sample, low_res = (
        torch.randn(1, channels, frames, height, width, generator=generator) for channels in (4, 3)
    )
    text = torch.randn(_TEXTS, _WORDS, 1024, generator=generator)
    image = drawn(_image_network(), generator)
    video = channels_innermost(drawn(published_unet(narrow=False), generator))
    half = channels_innermost(drawn(published_unet(narrow=False), generator).to(torch.bfloat16))

    def frame_by_frame() -> object:
        pictures = rearrange(torch.cat([sample, low_res], dim=1), "b c t h w -> (b t) c h w")
        return image(
            pictures.repeat(_TEXTS, 1, 1, 1),
            _TIMESTEP,
            encoder_hidden_states=text.repeat_interleave(frames, dim=0),
            class_labels=torch.full((_TEXTS * frames,), _LEVEL),
        )

    def segment(unet: torch.nn.Module) -> object:
        return unet(
            sample.to(unet.dtype),
            torch.tensor(_TIMESTEP),
            low_res=low_res,
            class_labels=torch.tensor([_LEVEL]),
            encoder_hidden_states=text.to(unet.dtype),
        )

    return {
        "diffusers, float32": frame_by_frame,
        "vsr, float32": lambda: segment(video),
        "vsr, bfloat16": lambda: segment(half),
    }


def _image_network() -> UNet2DConditionModel:
    """The network of Stable Diffusion's x4 upscaler (473 M parameters)."""
    with torch.device("meta"):
        return UNet2DConditionModel(
            in_channels=7,
            out_channels=4,
            down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
            up_block_types=(*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"),
            only_cross_attention=(True, True, True, False),
            block_out_channels=(256, 512, 512, 1024),
            attention_head_dim=8,
            cross_attention_dim=1024,
            num_class_embeds=1000,
            use_linear_projection=True,
        )


@torch.no_grad()
def _timed(run: Callable[[], object]) -> tuple[float, float]:
    start, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start, time.process_time() - cpu


if __name__ == "__main__":
    main()
