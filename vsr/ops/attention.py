"""Scaled dot-product attention by a backend chosen by name, never replaced silently."""

import importlib
from typing import Any, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vsr.config import AttentionBackend
from vsr.errors import ConfigError, DependencyError, DeviceError, install_extra
from vsr.option_values import nearest

BACKENDS: tuple[str, ...] = get_args(AttentionBackend)

# CUDA kernels put the batch on a grid axis of 16 bits; temporal attention has one entry per pixel.
_MAX_BATCH = 65535

_FEWEST_SCORES, _MOST_SCORES = 64 * 64, 1024 * 1024
"""Scores of one head, queries times keys, for which `_by_products` was found faster."""
_SCORES_AT_ONCE = 1 << 21
"""Scores of several heads that are computed together: 4 MB in bfloat16, for a CPU's cache."""


def attend(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads m d"],
    v: Float[Tensor, "b heads m e"],
    *,
    backend: str = "sdpa",
    scale: float | None = None,
    bias: Float[Tensor, "#b #heads n m"] | None = None,
) -> Float[Tensor, "b heads n e"]:
    """Returns softmax(scale q k^T + bias) v (Vaswani et al. 2017, eq. 1).

    `scale` defaults to 1 / sqrt(d). Raises ConfigError for an unknown backend, DependencyError if
    xformers is not installed, DeviceError if xformers gets a tensor that is not on a CUDA device.
    """
    check_backend(backend)
    if q.shape[0] > _MAX_BATCH:
        biases = _split_bias(bias, q.shape[0])
        parts = zip(*(x.split(_MAX_BATCH) for x in (q, k, v)), biases, strict=True)
        return torch.cat(
            [attend(*qkv, backend=backend, scale=scale, bias=part) for *qkv, part in parts]
        )
    if backend == "xformers":
        return _xformers(q, k, v, scale, bias)
    if bias is None and _suits_products(q, k, v):
        return _by_products(q, k, v, q.shape[-1] ** -0.5 if scale is None else scale)
    mask = None if bias is None else bias.to(q.dtype)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)


def check_backend(backend: str) -> None:
    """Raise ConfigError, with the nearest right name, unless `backend` is one of BACKENDS."""
    if backend in BACKENDS:
        return
    raise ConfigError(
        f"unknown attention {backend = }, allowed are {', '.join(BACKENDS)}"
        f"{nearest(backend, BACKENDS)}"
    )


def _xformers(q: Tensor, k: Tensor, v: Tensor, scale: float | None, bias: Tensor | None) -> Tensor:
    try:
        ops: Any = importlib.import_module("xformers.ops")
    except ImportError as error:
        raise DependencyError(
            "attention backend 'xformers' needs the package xformers, which is not installed: "
            f"{install_extra('xformers')}; or use the backend 'sdpa'"
        ) from error
    if not q.is_cuda:
        raise DeviceError(
            f"attention backend 'xformers' works on CUDA tensors only, found one on {q.device}: "
            "use the backend 'sdpa' there"
        )

    q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # xformers has the heads after the tokens
    if bias is not None:
        b, n, heads, _ = q.shape
        bias = bias.to(q.dtype).expand(b, heads, n, k.shape[1])
    return ops.memory_efficient_attention(q, k, v, attn_bias=bias, scale=scale).transpose(1, 2)


def _suits_products(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """True for windows of some hundred tokens in bfloat16 on a CPU, in inference."""
    if q.device.type != "cpu" or q.dtype != torch.bfloat16 or _multiplies_tiles():
        return False
    if torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v)):
        return False
    return _FEWEST_SCORES <= q.shape[-2] * k.shape[-2] <= _MOST_SCORES


def _multiplies_tiles() -> bool:
    """True for a CPU with AMX, on which PyTorch's fused attention has fast products."""
    return torch.cpu._is_amx_tile_supported()  # pyright: ignore[reportPrivateUsage]


def _by_products(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Attention as two matrix products and a softmax, a few heads at a time.

    PyTorch's fused attention takes twice as long there, since it multiplies smaller blocks: 198
    against 103 ms for 99 windows of 512 tokens, 4 heads and 32 channels on one AVX-512 core. Here
    scores are rounded to bfloat16.
    """
    b, heads, n, _ = q.shape
    m = k.shape[-2]
    queries, keys, values = (x.flatten(0, 1) for x in (q, k, v))
    out = q.new_empty(b * heads, n, v.shape[-1])
    step = max(1, _SCORES_AT_ONCE // (n * m))
    buffer = q.new_empty(min(step, b * heads), n, m)
    for part in zip(*(x.split(step) for x in (queries, keys.mT, values, out)), strict=True):
        some_queries, some_keys, some_values, some_out = part
        scores = buffer[: len(some_queries)]
        torch.baddbmm(scores, some_queries, some_keys, beta=0, alpha=scale, out=scores)
        torch.softmax(scores, dim=-1, out=scores)
        torch.bmm(scores, some_values, out=some_out)
    return out.unflatten(0, (b, heads))


def _split_bias(bias: Tensor | None, batch: int) -> tuple[Tensor | None, ...]:
    chunks = -(-batch // _MAX_BATCH)
    if bias is None or bias.shape[0] == 1:
        return (bias,) * chunks
    return bias.split(_MAX_BATCH)
