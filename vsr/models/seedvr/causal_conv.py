"""Convolutions that look back in time only, and the frames that they carry along a stream."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vsr.ops.windows import Size3


@dataclass(slots=True)
class StreamState:
    """The last input frames of each causal convolution, from slice to slice of one clip.

    An empty state is the start of a clip. `parked`: the device where frames wait between slices;
    None: where they are.
    """

    parked: torch.device | None = None
    frames: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    @property
    def nbytes(self) -> int:
        """Memory of the frames."""
        return sum(frames.nbytes for frames in self.frames.values())


class CausalConv3d(nn.Conv3d):
    """A convolution whose frames see themselves and the k - 1 before them.

    At the start of a clip these are copies of its first frame. Rows and columns are padded with
    zeros on all sides, or by one at the right and the bottom where the convolution has a stride.
    `name` is that of its frames in a state.
    """

    def __init__(self, inputs: int, outputs: int, kernel: Size3, *, stride: Size3 = (1, 1, 1)):
        padding = (0, 0, 0) if max(stride) > 1 else (0, kernel[1] // 2, kernel[2] // 2)
        super().__init__(inputs, outputs, kernel, stride=stride, padding=padding)
        self.name = ""

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, x: Float[Tensor, "b i t h w"], state: StreamState
    ) -> Float[Tensor, "b o t2 h2 w2"]:
        """Returns the frames that end with `x`, and leaves in `state` what the next ones need."""
        if max(self.stride) > 1:
            x = F.pad(x, (0, 1, 0, 1))
        if self.kernel_size[0] > 1:
            x = self._with_past(x, state)
        return super().forward(x)

    def _with_past(self, x: Tensor, state: StreamState) -> Tensor:
        depth, stride = self.kernel_size[0], self.stride[0]
        past = state.frames.get(self.name)
        if past is None:
            past = x[:, :, :1].expand(-1, -1, depth - 1, -1, -1)
        whole = torch.cat([past.to(x), x], dim=2)
        used = ((whole.shape[2] - depth) // stride + 1) * stride
        kept = whole[:, :, used:]
        state.frames[self.name] = kept.to(state.parked) if state.parked else kept.clone()
        return whole


def name_convolutions(module: nn.Module) -> None:
    """Give each causal convolution of a network its own name in a state."""
    for name, layer in module.named_modules():
        if isinstance(layer, CausalConv3d):
            layer.name = name
