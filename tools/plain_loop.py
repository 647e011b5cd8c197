"""The published sampler and U-Net in the plainest form: slow, a reference for tests and benchmarks.

It takes the weights of a `UNetVideoModel` with the published structure and uses nothing else of
vsr. Every step computes everything again: each window, prompt and negative prompt alone, text keys
and values for every frame, attention by its formula, convolutions on maps stored row by row.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

Flow = tuple[Tensor, Tensor]
"""Forward and backward flow, `1 2 t-1 h w` in pixels."""


@dataclass(frozen=True, slots=True)
class PlainRun:
    """The inputs of a run; `low_res_noise` and `latents` are noise in the shape of their maps."""

    low_res: Tensor
    low_res_noise: Tensor
    latents: Tensor
    text: Tensor
    negative_text: Tensor
    steps: int = 30
    guidance_scale: float = 6.0
    noise_level: int = 120
    flow: Flow | None = None
    propagation_steps: Sequence[int] = ()


def plain_latents(unet: nn.Module, run: PlainRun) -> Tensor:
    """Return clean latents: DDIM, v-prediction, windows of 8 every 6 frames, running average."""
    alphas = _cumulative_alphas()
    signal, noise = alphas[run.noise_level].sqrt(), (1 - alphas[run.noise_level]).sqrt()
    noisy = signal * run.low_res + noise * run.low_res_noise
    x = run.latents
    stride = len(alphas) // run.steps
    for i, t in enumerate(range((run.steps - 1) * stride + 1, 0, -stride)):
        v = _windowed(unet, x, noisy, t, run)
        now, after = alphas[t], alphas[max(t - stride, 0)]
        x0 = now.sqrt() * x - (1 - now).sqrt() * v
        epsilon = now.sqrt() * v + (1 - now).sqrt() * x
        if run.flow is not None and i in run.propagation_steps:
            x0 = plain_propagation(x0, run.flow)
        x = after.sqrt() * x0 + (1 - after).sqrt() * epsilon
    return x


def _cumulative_alphas() -> Tensor:
    betas = torch.linspace(1e-4**0.5, 0.02**0.5, 1000, dtype=torch.float32) ** 2
    return torch.cumprod(1 - betas, dim=0)


def _windowed(unet: nn.Module, x: Tensor, noisy: Tensor, t: int, run: PlainRun) -> Tensor:
    frames = x.shape[2]
    if frames <= 8:
        return _guided(unet, x, noisy, t, run)
    blended: list[Tensor | None] = [None] * frames
    for start in range(0, frames, 6):
        stop = min(start + 8, frames)
        start = stop - 8
        v = _guided(unet, x[:, :, start:stop], noisy[:, :, start:stop], t, run)
        for k, new in zip(range(start, stop), v.unbind(2), strict=True):
            stored = blended[k]
            blended[k] = new if stored is None else (stored + new) / 2
    return torch.stack([frame for frame in blended if frame is not None], dim=2)


def _guided(unet: nn.Module, x: Tensor, noisy: Tensor, t: int, run: PlainRun) -> Tensor:
    negative, positive = (
        plain_unet(unet, x, noisy, t, run.noise_level, text)
        for text in (run.negative_text, run.text)
    )
    return negative + run.guidance_scale * (positive - negative)


def plain_propagation(x: Tensor, flow: Flow, *, share: float = 0.5) -> Tensor:
    """Return `x` fused along its flow, backward then forward in time, where the flow agrees."""
    forward, backward = (list(way.unbind(2)) for way in flow)
    frames = list(x.unbind(2))
    for i in reversed(range(len(frames) - 1)):
        frames[i] = _fused(frames[i], frames[i + 1], forward[i], backward[i], share)
    for i in range(1, len(frames)):
        frames[i] = _fused(frames[i], frames[i - 1], backward[i - 1], forward[i - 1], share)
    return torch.stack(frames, dim=2)


def _fused(own: Tensor, other: Tensor, there: Tensor, back: Tensor, share: float) -> Tensor:
    returned = _warped(back, there, "bilinear")
    error = (there + returned).square().sum(1, keepdim=True)
    size = (there.square() + returned.square()).sum(1, keepdim=True)
    valid = (error < 0.001 * size + 0.05).to(own.dtype)
    fused = share * _warped(other, there, "nearest") + (1 - share) * own
    return valid * fused + (1 - valid) * own


def _warped(x: Tensor, flow: Tensor, mode: str) -> Tensor:
    h, w = x.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    grid = torch.stack([columns, rows], dim=-1).to(x) + rearrange(flow, "b c h w -> b h w c")
    grid = 2 * grid / torch.tensor([max(w - 1, 1), max(h - 1, 1)]).to(x) - 1
    return F.grid_sample(x, grid, mode=mode, padding_mode="zeros", align_corners=True)


def plain_unet(
    unet: nn.Module, x: Tensor, noisy: Tensor, t: int, noise_level: int, text: Tensor
) -> Tensor:
    """Return v of one window for one prompt, computed in the type of the weights."""
    kind, text = x.dtype, text.to(unet.conv_in.weight)
    time = unet.time_embedding(_waves(t, unet.conv_in.out_channels).to(text))
    time = time + unet.class_embedding.weight[noise_level]
    freqs = unet.temporal_rotary_emb.freqs.float()
    x = _conv(unet.conv_in, torch.cat([x, noisy], dim=1).to(text))
    skips = [x]
    for level, temporal in zip(unet.down_blocks, unet.down_temp_blocks, strict=True):
        for i, resnet in enumerate(level.resnets):
            x = _resnet(resnet, x, time)
            if level.attentions is not None:
                x = _transformer(level.attentions[i], x, text, freqs)
            skips.append(x)
        if level.downsamplers is not None:
            x = _conv(level.downsamplers[0].conv, x)
            skips.append(x)
        x = _temporal_block(temporal, x, time)
    x = _resnet(unet.mid_block.resnets[0], x, time)
    x = _transformer(unet.mid_block.attentions[0], x, text, freqs)
    x = _resnet(unet.mid_block.resnets[1], x, time)
    x = _temporal_block(unet.mid_temp_block, x, time)
    for level, temporal in zip(unet.up_blocks, unet.up_temp_blocks, strict=True):
        for i, resnet in enumerate(level.resnets):
            x = _resnet(resnet, torch.cat([x, skips.pop()], dim=1), time)
            if level.attentions is not None:
                x = _transformer(level.attentions[i], x, text, freqs)
        if level.upsamplers is not None:
            enlarged = F.interpolate(x, (x.shape[2], *skips[-1].shape[-2:]), mode="nearest")
            x = _conv(level.upsamplers[0].conv, enlarged)
        x = _temporal_block(temporal, x, time)
    return _conv(unet.conv_out, F.silu(_norm(unet.conv_norm_out, x))).to(kind)


def _waves(t: int, channels: int) -> Tensor:
    half = channels // 2
    angles = t * torch.exp(-math.log(10000) * torch.arange(half) / half)
    return torch.cat([angles.cos(), angles.sin()])[None]


def _conv(layer: nn.Module, x: Tensor) -> Tensor:
    frames = rearrange(x, "b c t h w -> (b t) c h w")
    frames = F.conv2d(frames, layer.weight, layer.bias, layer.stride, layer.padding)
    return rearrange(frames, "(b t) c h w -> b c t h w", t=x.shape[2]).contiguous()


def _conv3d(layer: nn.Module, x: Tensor) -> Tensor:
    return F.conv3d(x, layer.weight, layer.bias, padding=layer.padding)


def _norm(layer: nn.Module, x: Tensor) -> Tensor:
    return F.group_norm(x, layer.num_groups, layer.weight, layer.bias, layer.eps)


def _shift(layer: nn.Linear | None, time: Tensor) -> Tensor | float:
    return 0.0 if layer is None else layer(F.silu(time))[:, :, None, None, None]


def _resnet(block: nn.Module, x: Tensor, time: Tensor) -> Tensor:
    y = _conv(block.conv1, F.silu(_norm(block.norm1, x))) + _shift(block.time_emb_proj, time)
    y = _conv(block.conv2, F.silu(_norm(block.norm2, y)))
    return y + (x if block.conv_shortcut is None else _conv(block.conv_shortcut, x))


def _temporal_resnet(block: nn.Module, x: Tensor, time: Tensor) -> Tensor:
    y = _conv3d(block.conv1, F.silu(_norm(block.norm1, x))) + _shift(block.time_emb_proj, time)
    return x + _conv3d(block.conv2, F.silu(_norm(block.norm2, y)))


def _temporal_block(block: nn.Module, x: Tensor, time: Tensor) -> Tensor:
    y = _temporal_resnet(block.resblocks_3d_temporal, x, time)
    y = _resnet(block.resblocks_3d_spatial, y, time)
    return x + _conv(block.shift_conv, y)


def _transformer(block: nn.Module, x: Tensor, text: Tensor, freqs: Tensor) -> Tensor:
    x = _temporal_resnet(block.resblock_temporal, x, x)
    b, _, t, h, w = x.shape
    frames = rearrange(x, "b c t h w -> (b t) c h w")
    tokens = block.proj_in(rearrange(_norm(block.norm, frames), "n c h w -> n (h w) c"))
    layer = block.transformer_blocks[0]
    words = repeat(text, "b n d -> (b t) n d", t=t)
    seen = layer.norm1(tokens)
    sees_text = type(layer.attn1).__name__ == "TextAttention"
    tokens = tokens + _attention(layer.attn1, seen, words if sees_text else seen)
    tokens = tokens + _attention(layer.attn2, layer.norm2(tokens), words)
    places = rearrange(tokens, "(b t) n c -> (b n) t c", t=t)
    places = places + _temporal_attention(layer.attn_temporal, layer.norm_temporal(places), freqs)
    tokens = rearrange(places, "(b n) t c -> (b t) n c", b=b)
    tokens = block.proj_out(tokens + layer.ff(layer.norm3(tokens)))
    return x + rearrange(tokens, "(b t) (h w) c -> b c t h w", b=b, h=h, w=w)


def _attention(layer: nn.Module, x: Tensor, context: Tensor) -> Tensor:
    q, k, v = (
        rearrange(y, "b n (heads d) -> (b heads) n d", heads=layer.heads)
        for y in (layer.to_q(x), layer.to_k(context), layer.to_v(context))
    )
    weights = torch.softmax(q @ k.mT * q.shape[-1] ** -0.5, dim=-1)
    y = rearrange(weights @ v, "(b heads) n d -> b n (heads d)", heads=layer.heads)
    return layer.to_out[0](y)


def _temporal_attention(layer: nn.Module, x: Tensor, freqs: Tensor) -> Tensor:
    q, k, v = (
        rearrange(y, "b t (heads d) -> b heads t d", heads=layer.heads)
        for y in (layer.to_q(x), layer.to_k(x), layer.to_v(x))
    )
    q, k = _turned(q * q.shape[-1] ** -0.5, freqs), _turned(k, freqs)
    table = layer.time_rel_pos_bias.relative_attention_bias.weight
    buckets = [[_bucket(j - i) for j in range(x.shape[1])] for i in range(x.shape[1])]
    bias = rearrange(table[torch.tensor(buckets, device=x.device)], "i j heads -> heads i j")
    y = torch.softmax(q @ k.mT + bias, dim=-1) @ v
    return layer.to_out[0](rearrange(y, "b heads t d -> b t (heads d)"))


def _turned(x: Tensor, freqs: Tensor) -> Tensor:
    """Rotate neighbouring channels, as complex numbers, by exp(i t f); keep the other channels."""
    turned, rest = x.split([2 * len(freqs), x.shape[-1] - 2 * len(freqs)], dim=-1)
    angles = torch.arange(x.shape[-2], device=x.device)[:, None] * freqs
    pairs = torch.view_as_complex(turned.unflatten(-1, (-1, 2)).float().contiguous())
    pairs = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([torch.view_as_real(pairs).flatten(-2).to(x), rest], dim=-1)


def _bucket(distance: int) -> int:
    """Return the 32 relative position buckets of T5, distances up to 32 (Raffel et al. 2020)."""
    size = abs(distance)
    if size >= 8:
        size = min(15, 8 + int(math.log(size / 8) / math.log(32 / 8) * 8))
    return size + (16 if distance > 0 else 0)
