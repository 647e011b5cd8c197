"""Convolutions that look back in time only, and the frames that they carry along a stream."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vsr.ops.windows import Size3

Enter = Callable[[Tensor], Tensor]
"""Takes some rows of a map to those that a convolution sees, as a norm and an activation do."""


def _as_it_is(rows: Tensor) -> Tensor:
    return rows


@dataclass(slots=True)
class StreamState:
    """The last input frames of each causal convolution, from slice to slice of one clip.

    An empty state is the start of a clip. `parked`: the device where frames wait between slices;
    None: where they are. `strip_bytes`: maps pass through convolutions and norms in strips of rows
    of about so many bytes, to the same numbers within rounding; None: whole.
    """

    parked: torch.device | None = None
    strip_bytes: int | None = None
    frames: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    @property
    def nbytes(self) -> int:
        """Memory of the frames."""
        return sum(frames.nbytes for frames in self.frames.values())

    def kept(self, frames: Tensor) -> Tensor:
        """Returns a copy where frames wait, so that the map that they lie in can be freed."""
        return frames.to(self.parked or frames.device, copy=True)

    def strip_rows(self, x: Float[Tensor, "b c t h w"]) -> int:
        """Returns the number of rows of a strip of `x`; all of them: it passes whole."""
        if self.strip_bytes is None:
            return x.shape[-2]
        return max(min(self.strip_bytes * x.shape[-2] // x.nbytes, x.shape[-2]), 1)


@dataclass(frozen=True, slots=True)
class _Strip:
    """Rows of the input of a convolution that make some rows of its result."""

    given: slice
    """With the rows around them that the kernel sees."""
    own: slice
    """The rows of `given` that no other strip owns."""
    above: int
    """Rows of zeros above `given`, at the border of the picture."""
    below: int


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
        self, x: Float[Tensor, "b i t h w"], state: StreamState, enter: Enter = _as_it_is
    ) -> Float[Tensor, "b o t2 h2 w2"]:
        """Returns the frames that end with `x`, and leaves in `state` what the next ones need.

        `enter` makes the input of the convolution from `x`, row by row.
        """
        if state.strip_rows(x) < x.shape[-2]:
            return self._by_rows(x, state, enter)
        whole, kept = self._with_past(enter(x), state.frames.get(self.name))
        if kept is not None:
            state.frames[self.name] = state.kept(kept)
        if max(self.stride) > 1:
            whole = F.pad(whole, (0, 1, 0, 1))
        return super().forward(whole)

    def _with_past(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The frames that the convolution sees, and those of them that the next slice needs."""
        depth, stride = self.kernel_size[0], self.stride[0]
        if depth == 1:
            return x, None
        if past is None:
            past = x[:, :, :1].expand(-1, -1, depth - 1, -1, -1)
        whole = torch.cat([past.to(x), x], dim=2)
        return whole, whole[:, :, ((whole.shape[2] - depth) // stride + 1) * stride :]

    def _by_rows(self, x: Tensor, state: StreamState, enter: Enter) -> Tensor:
        """The result, strip by strip: no map of what is between `x` and it is ever whole."""
        past = state.frames.get(self.name)
        kept: list[Tensor] = []

        def strips() -> Iterator[Tensor]:
            for strip in self._strips(x.shape[-2], state.strip_rows(x)):
                rows = None if past is None else past[..., strip.given, :]
                whole, next_past = self._with_past(enter(x[..., strip.given, :]), rows)
                if next_past is not None:
                    kept.append(state.kept(next_past[..., strip.own, :]))
                yield self._convolved(whole, strip)

        made = stacked_rows(strips(), -(-x.shape[-2] // self.stride[1]))
        if kept:
            state.frames[self.name] = torch.cat(kept, dim=-2)
        return made

    def _strips(self, height: int, rows: int) -> Iterator[_Strip]:
        kernel, stride = self.kernel_size[1], self.stride[1]
        margin = self.padding[1] if isinstance(self.padding, tuple) else 0
        step = max(rows // stride, 1)
        for start in range(0, -(-height // stride), step):
            stop = min(start + step, -(-height // stride))
            first, last = start * stride - margin, (stop - 1) * stride - margin + kernel
            given = slice(max(first, 0), min(last, height))
            own = slice(start * stride - given.start, min(stop * stride, height) - given.start)
            yield _Strip(given, own, max(-first, 0), max(last - height, 0))

    def _convolved(self, x: Tensor, strip: _Strip) -> Tensor:
        """The result for a strip: columns are padded as usual, rows where the picture ends."""
        right = 1 if max(self.stride) > 1 else 0
        x = F.pad(x, (0, right, strip.above, strip.below))
        padding = (0, 0, 0 if right else self.kernel_size[2] // 2)
        return F.conv3d(x, self.weight, self.bias, self.stride, padding)


def stacked_rows(
    strips: Iterable[Float[Tensor, "b c t _ w"]], height: int
) -> Float[Tensor, "b c t h w"]:
    """Returns the map of strips of rows, made one after the other; channels lie innermost."""
    whole: Tensor | None = None
    done = 0
    for strip in strips:
        if whole is None:
            b, c, t, _, w = strip.shape
            whole = strip.new_empty(b, t, height, w, c).permute(0, 4, 1, 2, 3)
        whole[..., done : done + strip.shape[-2], :] = strip
        done += strip.shape[-2]
    assert whole is not None and done == height, "strips cover the map"
    return whole


def name_convolutions(module: nn.Module) -> None:
    """Give each causal convolution of a network its own name in a state."""
    for name, layer in module.named_modules():
        if isinstance(layer, CausalConv3d):
            layer.name = name
