"""SeedVR's attention in the plainest form, window by window: a reference, and a measure of speed.

python tests/models/seedvr/plain_loop.py
"""

import statistics
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.models.rotation import turned
from tests.seedvr import small_dit
from vsr.models.seedvr.nadit import NaDiT
from vsr.ops.windows import WindowGroup

_LATENTS = ((3, 46, 62), (9, 32, 32), (5, 60, 106))
"""Of the fixtures; 33 frames of 256x256; 17 frames of 848x480."""
_WORDS = 58


def plain_attention(
    attention: Any, video: Tensor, text: Tensor, groups: tuple[WindowGroup, ...]
) -> tuple[Tensor, Tensor]:
    """Windows one by one, as section 3.5 of the paper's network reads."""
    out, texts = torch.zeros_like(video), []
    q2, k2, v2 = _heads(attention, text, "text")
    rope, words = attention.rope, len(text)
    for t, h, w in _boxes(groups):
        box = video[t, h, w]
        size = box.shape[:3]
        angles = rope.video(size, words, device=video.device)
        q, k, v = _heads(attention, box.reshape(-1, video.shape[-1]), "video")
        angles2 = rope.text(words, device=video.device)
        qs = torch.cat([_turned(q, angles), _turned(q2, angles2)]).transpose(0, 1)
        ks = torch.cat([_turned(k, angles), _turned(k2, angles2)]).transpose(0, 1)
        vs = torch.cat([v, v2]).transpose(0, 1)
        logits = qs @ ks.transpose(1, 2) / qs.shape[-1] ** 0.5
        seen = (logits.softmax(-1) @ vs).transpose(0, 1).flatten(1)
        out[t, h, w] = seen[:-words].reshape(*size, -1)
        texts.append(seen[-words:])
    return attention.proj_out.video(out), attention.proj_out.text(torch.stack(texts).mean(0))


def _heads(attention: Any, x: Tensor, branch: str) -> tuple[Tensor, Tensor, Tensor]:
    heads = attention.heads
    dim = x.shape[-1] // heads
    q, k, v = getattr(attention.proj_qkv, branch)(x).reshape(-1, 3, heads, dim).unbind(1)

    def norm(y: Tensor, layer: Any) -> Tensor:
        return F.rms_norm(y, (dim,), getattr(layer, branch).weight, 1e-5)

    return norm(q, attention.norm_q), norm(k, attention.norm_k), v


def _turned(x: Tensor, angles: Tensor | None) -> Tensor:
    return x if angles is None else turned(x, angles[:, None])


def _boxes(groups: tuple[WindowGroup, ...]) -> Iterator[tuple[slice, slice, slice]]:
    for group in groups:
        runs = [
            [slice(r.start + i * r.size, r.start + (i + 1) * r.size) for i in range(r.count)]
            for r in (group.t, group.h, group.w)
        ]
        yield from ((t, h, w) for t in runs[0] for h in runs[1] for w in runs[2])


def plain_network(network: NaDiT) -> NaDiT:
    """The network with plain attention in its blocks."""
    for block in network.blocks:
        block.attn.forward = partial(plain_attention, block.attn)
    return network


@torch.no_grad()
def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    print("| network | latents | loop | ours | times as fast | largest difference |")
    print("|---|---|---|---|---|---|")
    for kind in ("3b", "7b"):
        for t, h, w in _LATENTS:
            generator = torch.Generator().manual_seed(0)
            x, condition = torch.randn(2, t, h, w, 16, generator=generator)
            text = torch.randn(_WORDS, 48, generator=generator)
            runs = [
                partial(network, x, condition, text, 1000.0)
                for network in (plain_network(small_dit(kind)), small_dit(kind))
            ]
            difference = (runs[0]() - runs[1]()).abs().max()
            loop, ours = _medians(runs, repeats)
            print(
                f"| {kind} small | {t}x{h}x{w} | {1000 * loop:.0f} ms | {1000 * ours:.0f} ms "
                f"| {loop / ours:.2f} | {difference:.1e} |"
            )


def _medians(runs: list[Callable[[], Tensor]], repeats: int) -> list[float]:
    """Median seconds of each, taken in turns, so that a busy machine slows all of them alike."""
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(repeats):
        for run, own in zip(runs, seconds, strict=True):
            began = time.perf_counter()
            run()
            own.append(time.perf_counter() - began)
    return [statistics.median(own) for own in seconds]


if __name__ == "__main__":
    main()
