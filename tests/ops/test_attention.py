"""Attention equals its formula, and asking for what is not there is one clear error."""

import sys
import types

import pytest
import torch

from vsr.errors import ConfigError, DependencyError, DeviceError
from vsr.ops.attention import attend


def _qkv(n: int = 5, m: int = 7, d: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(2, 3, n, d, generator=generator),
        torch.randn(2, 3, m, d, generator=generator),
        torch.randn(2, 3, m, d, generator=generator),
    )


def test_sdpa_equals_the_formula():
    q, k, v = _qkv()
    expected = torch.softmax(q @ k.transpose(-1, -2) / 8**0.5, dim=-1) @ v
    torch.testing.assert_close(attend(q, k, v), expected)


def test_scale_and_bias_enter_before_the_softmax():
    q, k, v = _qkv()
    bias = torch.randn(1, 3, 5, 7, generator=torch.Generator().manual_seed(1))
    expected = torch.softmax(0.3 * q @ k.transpose(-1, -2) + bias, dim=-1) @ v
    torch.testing.assert_close(attend(q, k, v, scale=0.3, bias=bias), expected)


def test_a_float32_bias_serves_half_precision_queries():
    q, k, v = (x.bfloat16() for x in _qkv())
    bias = torch.zeros(1, 1, 5, 7)
    assert attend(q, k, v, bias=bias).dtype == torch.bfloat16


def test_an_unknown_backend_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="did you mean xformers"):
        attend(*_qkv(), backend="xformer")


def test_missing_xformers_names_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "xformers", None)
    monkeypatch.setitem(sys.modules, "xformers.ops", None)
    with pytest.raises(DependencyError, match=r"\.\[xformers\]"):
        attend(*_qkv(), backend="xformers")


def test_xformers_refuses_a_cpu_tensor(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "xformers.ops", types.ModuleType("xformers.ops"))
    with pytest.raises(DeviceError, match="cpu"):
        attend(*_qkv(), backend="xformers")


@pytest.mark.parametrize("tokens", [64, 200])
def test_attention_in_bfloat16_on_a_cpu_is_the_formula_within_its_rounding(tokens):
    generator = torch.Generator().manual_seed(0)
    heads_inside = torch.randn(3, 70, tokens, 3, 8, generator=generator).bfloat16()
    q, k, v = heads_inside.transpose(2, 3)  # more heads than are computed at once, with strides
    exact = torch.softmax(q.double() @ k.double().mT / 8**0.5, dim=-1) @ v.double()
    # scores of up to 6 are rounded to 8 bits: 1 % of each share, less in their sums
    torch.testing.assert_close(attend(q, k, v).double(), exact, atol=0.02, rtol=0.02)


def test_attention_in_bfloat16_on_a_cpu_has_gradients():
    q = torch.randn(2, 1, 64, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    q.requires_grad_()
    attend(q, q, q).sum().backward()
    assert q.grad is not None


DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="GPU")],
    ),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("biases", [1, 70_000])
def test_more_windows_than_a_cuda_grid_axis_holds(device, biases):
    q = torch.randn(70_000, 1, 2, 8, device=device)
    bias = torch.randn(biases, 1, 2, 2, device=device)
    expected = torch.softmax(q @ q.transpose(-1, -2) / 8**0.5 + bias, dim=-1) @ q
    torch.testing.assert_close(attend(q, q, q, bias=bias), expected, atol=1e-3, rtol=1e-3)
