"""AnimeSR (Wu et al. 2022), a recurrent video network, as a peer to measure against.

One cell goes forward in time without flow. It sees the frames before and after, its last output
and a state. Weights are the user's: a safetensors file of AnimeSR_v2.pth.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from vsr.evaluation.meters import Picture

SCALE = 4
_CHANNELS = 64
_MARK = "conv_s1_first.0.weight"  # a key that no image network has
_SLOPE = 0.1


class AnimeSR(nn.Module):
    """The recurrent cell; layers are called as in the published file."""

    def __init__(self) -> None:
        super().__init__()
        unshuffled = 3 * SCALE**2
        self.conv_s1_first = nn.Sequential(_conv(9 + unshuffled + _CHANNELS, _CHANNELS), _lrelu())
        self.conv_s2_first = nn.Sequential(_conv(_CHANNELS, _CHANNELS, stride=2), _lrelu())
        self.conv_s4_first = nn.Sequential(_conv(_CHANNELS, _CHANNELS, stride=2), _lrelu())
        self.body_s1_first = nn.ModuleList(_Residual() for _ in range(5))
        self.body_s2_first = nn.ModuleList(_Residual() for _ in range(3))
        self.body_s4_first = nn.ModuleList(_Residual() for _ in range(2))
        self.fusion = nn.Sequential(
            _conv(3 * _CHANNELS, 2 * (unshuffled + _CHANNELS)),
            _lrelu(),
            _conv(2 * (unshuffled + _CHANNELS), unshuffled + _CHANNELS),
        )

    def forward(
        self,
        frames: Float[Tensor, "1 9 h w"],
        before: Float[Tensor, "1 3 4*h 4*w"],
        state: Float[Tensor, "1 64 h w"],
    ) -> tuple[Float[Tensor, "1 3 4*h 4*w"], Float[Tensor, "1 64 h w"]]:
        """Return the large frame, not clamped, and the next state.

        `frames` are the frames before, now and after in [0, 1]; `before` is the last output.
        """
        s1, s2, s4 = self.body_s1_first, self.body_s2_first, self.body_s4_first
        a = self.conv_s1_first(torch.cat([frames, F.pixel_unshuffle(before, SCALE), state], 1))
        b = self.conv_s2_first(a)
        d = self.conv_s4_first(b)
        a = s1[2](s1[1](s1[0](a)))
        b = s2[0](b)
        a, b, d = s1[3](a + _up(b, 2)), s2[1](b), s4[0](d)
        a, b, d = s1[4](a + _up(b, 2) + _up(d, 4)), s2[2](b + _up(d, 2)), s4[1](d)
        fused = self.fusion(torch.cat([a, _up(b, 2), _up(d, 4)], 1))
        image, state = fused.split([3 * SCALE**2, _CHANNELS], 1)
        large = F.pixel_shuffle(image, SCALE) + _up(frames[:, 3:6], SCALE)
        return large, F.leaky_relu(state, _SLOPE)


def is_animesr(path: Path) -> bool:
    """Return True if a safetensors file holds AnimeSR's weights."""
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    with safe_open(path, framework="pt") as file:
        return _MARK in file.keys()  # noqa: SIM118 - it is no mapping


def load_animesr(path: Path) -> AnimeSR:
    """Return the network with the weights of a file."""
    network = AnimeSR()
    network.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def upscaled(
    pictures: Iterable[Picture], network: AnimeSR, device: torch.device
) -> Iterator[Picture]:
    """Yield the frames four times larger; the first and the last stand in for their neighbours."""
    network = network.to(device)
    before: Tensor | None = None
    last: Tensor | None = None
    state: Tensor | None = None
    for now, after in _with_next(_tensor(picture, device) for picture in pictures):
        if last is None or state is None:
            h, w = now.shape[-2:]
            last, state = now.new_zeros(1, 3, SCALE * h, SCALE * w), now.new_zeros(1, 64, h, w)
        window = torch.cat([now if before is None else before, now, after], 1)
        large, state = network(window, last, state)
        before, last = now, large
        yield _picture(large)


def enlarged(
    pictures: Iterable[Picture], path: Path, device: torch.device, *, size: tuple[int, int]
) -> Iterator[Picture]:
    """Yield all frames by the weights of a file, cropped to a width and height.

    Sides that are no multiple of four are padded with their last pixels first.
    """
    width, height = size
    for picture in upscaled(map(_padded, pictures), load_animesr(path), device):
        yield np.ascontiguousarray(picture[:height, :width])


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _conv(_CHANNELS, _CHANNELS)
        self.conv2 = _conv(_CHANNELS, _CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x)))


def _conv(channels: int, out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, stride, 1)


def _lrelu() -> nn.LeakyReLU:
    return nn.LeakyReLU(_SLOPE)


def _up(x: Tensor, scale: int) -> Tensor:
    return F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)


def _with_next(tensors: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Each tensor with the one after it; the last with itself."""
    now: Tensor | None = None
    for after in tensors:
        if now is not None:
            yield now, after
        now = after
    if now is not None:
        yield now, now


def _tensor(picture: Picture, device: torch.device) -> Tensor:
    return torch.from_numpy(picture).to(device).permute(2, 0, 1)[None].float() / 255


def _picture(tensor: Tensor) -> Picture:
    levels = (tensor[0].clamp(0, 1) * 255).round().to(torch.uint8)
    return levels.permute(1, 2, 0).cpu().numpy()


def _padded(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, -height % 4), (0, -width % 4), (0, 0)), mode="edge")
