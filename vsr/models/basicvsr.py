"""BasicVSR (Chan et al., CVPR 2021) without its flow network: two passes along a given flow."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vsr.errors import ModelError
from vsr.models.network_kind import RECURRENT_KEY
from vsr.models.weight_files import read_content
from vsr.ops.flow import warp

_SLOPE = 0.1
_HALO = 2
"""Small pixels beside a strip that its large pixels depend on: 1 + 1/2 + 1/4 + 1/4."""
_STRIP_PIXELS = 1 << 17
"""Small pixels whose large features are in memory at once: 0.5 GB a map in float32."""
_FLOW_NETWORK = "spynet."
_BLOCK = "backward_trunk.main.2."


class ResidualBlock(nn.Module):
    """z + conv2(ReLU(conv1(z)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, z: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """See the class."""
        return z + self.conv2(F.relu(self.conv1(z)))


class RecurrentTrunk(nn.Module):
    """A frame and its neighbour's features, warped, to the features of the frame."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(3 + channels, channels, 3, padding=1),
            nn.LeakyReLU(_SLOPE),
            nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks))),
        )

    def forward(
        self, frame: Float[Tensor, "b 3 h w"], neighbour: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b c h w"]:
        """See the class."""
        return self.main(torch.cat([frame, neighbour], dim=1))


class BasicVsr(nn.Module):
    """Frames in [0, 1] to frames four times larger, with features that go both ways in time.

        b_i = backward(x_i, warp(b_{i+1}, f_i)),   a_i = forward(x_i, warp(a_{i-1}, g_i))
        y_i = large(b_i, a_i) + bilinear(x_i)

    f_i is the flow from frame i to i + 1, g_i that from i to i - 1, in pixels of the small frames.
    Features beyond the ends are zero.
    """

    scale = 4

    def __init__(self, channels: int = 64, blocks: int = 30) -> None:
        super().__init__()
        self.channels = channels
        self.backward_trunk = RecurrentTrunk(channels, blocks)
        self.forward_trunk = RecurrentTrunk(channels, blocks)
        self.fusion = nn.Conv2d(2 * channels, channels, 1)
        self.upconv1 = nn.Conv2d(channels, 4 * channels, 3, padding=1)
        self.upconv2 = nn.Conv2d(channels, 4 * 64, 3, padding=1)
        self.conv_hr = nn.Conv2d(64, 64, 3, padding=1)
        self.conv_last = nn.Conv2d(64, 3, 3, padding=1)

    @classmethod
    def load(cls, path: Path) -> Self:
        """The network in a file of weights, in float32 on the CPU, without its flow network.

        Raises ModelError for a file that is missing, broken or of another network.
        """
        found = recurrent_state(read_content(path))
        if found is None:
            raise ModelError(f"{path} holds no BasicVSR: it has no {RECURRENT_KEY}")
        state = {k: v.float() for k, v in found.items() if not k.startswith(_FLOW_NETWORK)}
        blocks = {key.removeprefix(_BLOCK).split(".")[0] for key in state if key.startswith(_BLOCK)}
        network = cls(state[RECURRENT_KEY].shape[0], len(blocks))
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise ModelError(f"{path} does not fit BasicVSR: {reason}") from error
        return network.eval().requires_grad_(False)

    def backward_features(
        self,
        frames: Float[Tensor, "b 3 t h w"],
        flows: Float[Tensor, "b 2 pairs h w"],
        *,
        keep: int,
    ) -> list[Float[Tensor, "b c h w"]]:
        """The features b of the first `keep` frames; those after them are only looked at."""
        kept: list[Tensor] = []
        features: Tensor | None = None
        count = frames.shape[2]
        for i in range(count - 1, -1, -1):
            flow = flows[:, :, i] if i < count - 1 else None
            features = self._step(self.backward_trunk, frames[:, :, i], features, flow)
            if i < keep:
                kept.insert(0, features)
        return kept

    def forward_features(
        self,
        frames: Float[Tensor, "b 3 t h w"],
        flows: Float[Tensor, "b 2 pairs h w"],
        *,
        previous: Float[Tensor, "b c h w"] | None,
    ) -> Iterator[Float[Tensor, "b c h w"]]:
        """Yields the features a of each frame; with `previous`, the flows begin with its pair."""
        features, before = previous, 0 if previous is None else 1
        for i, frame in enumerate(frames.unbind(dim=2)):
            pair = i + before - 1
            flow = flows[:, :, pair] if pair >= 0 else None
            features = self._step(self.forward_trunk, frame, features, flow)
            yield features

    def large_frame(
        self,
        frame: Float[Tensor, "b 3 h w"],
        backward: Float[Tensor, "b c h w"],
        forward: Float[Tensor, "b c h w"],
    ) -> Float[Tensor, "b 3 h4 w4"]:
        """The large frame in float32, not clamped; computed in strips, which changes no pixel."""
        features = torch.cat([backward, forward], dim=1)
        height, width = frame.shape[-2:]
        rows = max(1, _STRIP_PIXELS // width)
        strips: list[Tensor] = []
        for top in range(0, height, rows):
            first, last = max(0, top - _HALO), min(height, top + rows + _HALO)
            large = self._enlarge(features[:, :, first:last])
            begin = self.scale * (top - first)
            strips.append(large[:, :, begin : begin + self.scale * min(rows, height - top)])
        size = (self.scale * height, self.scale * width)
        base = F.interpolate(frame.float(), size, mode="bilinear", align_corners=False)
        return base + torch.cat(strips, dim=2).float()

    def _step(
        self,
        trunk: nn.Module,
        frame: Float[Tensor, "b 3 h w"],
        neighbour: Float[Tensor, "b c h w"] | None,
        flow: Float[Tensor, "b 2 h w"] | None,
    ) -> Float[Tensor, "b c h w"]:
        frame = frame.to(self.fusion.weight)
        if neighbour is None or flow is None:
            b, _, h, w = frame.shape
            return trunk(frame, frame.new_zeros(b, self.channels, h, w))
        return trunk(frame, warp(neighbour.to(frame), flow))

    def _enlarge(self, features: Tensor) -> Tensor:
        y = F.leaky_relu(self.fusion(features), _SLOPE)
        y = F.leaky_relu(F.pixel_shuffle(self.upconv1(y), 2), _SLOPE)
        y = F.leaky_relu(F.pixel_shuffle(self.upconv2(y), 2), _SLOPE)
        return self.conv_last(F.leaky_relu(self.conv_hr(y), _SLOPE))


def recurrent_state(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The table of a file's content, itself or one inside, that holds a BasicVSR; or None."""
    for table in (content, *(content.get(key) for key in ("params_ema", "params", "state_dict"))):
        if isinstance(table, Mapping) and RECURRENT_KEY in table:
            return table
    return None
