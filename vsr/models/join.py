"""The joining network: small frames, large ones of a base model and warped keys in, one out.

What is learned cannot blur: the network says at each place from which picture the fine detail
comes, moves the keys by fractions of pixels, and corrects tones too coarse to hold detail. Shares
start from the confidences, as the fusion by formula (see `vsr/propagation/keyframes.py`).
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from vsr.models.blocks import BlockStyle, FrameConv2d, TimeConv3d, fold_time, unfold_time
from vsr.models.transformer import TransformerStyle, VideoTransformer
from vsr.ops.filters import gaussian_half, smooth
from vsr.ops.flow import warp

KEYS = 2
SCALE = 4
PACKED = 3 * SCALE * SCALE
_SMALL = 0.05
"""Factor on the initial weights of layers that join a chain of pretrained ones."""
_NEVER = 1e-4
"""Share that a key of no confidence still has, so that its logit is finite."""
_HALF_SURE = 0.2
"""Confidence at which a key counts half as much as one that is sure."""
_CELLS = 2
"""Shares are learned on a grid with this number of cells to a small pixel's side."""
_FARTHEST = 3.0
"""Large pixels by which a key can be moved."""
_NO_ENERGY = 1e-5
"""Squared step of 8 bits: flat places keep a gain of 1."""
_MAX_GAIN = 2.0


class JoinNetwork(ModelMixin, ConfigMixin):
    """Joins the fine detail of warped keys to the frames of a base model.

    Everything learned runs at the size of the small frames; large ones are packed, 4x4 pixels into
    channels. `width` channels in `layers` convolutions; a `TimeConv3d` after each of `time_after`
    of these, and window attention at half the size, `window_width` wide, after `window_after`
    (0: none). Tones are corrected on a grid of `tone_cells` to a small pixel's side; detail is what
    lies above a Gaussian of `sigma` large pixels.
    """

    @register_to_config
    def __init__(
        self,
        width: int = 64,
        layers: int = 4,
        time_after: Sequence[int] = (),
        window_after: int = 3,
        window_width: int = 96,
        window: Sequence[int] = (1, 8, 8),
        tone_cells: int = 2,
        sigma: float = 2.3,
    ) -> None:
        super().__init__()
        self.conv_in = FrameConv2d(3 + PACKED + KEYS * (PACKED + 2), width, 3, padding=1)
        self.act_in = nn.PReLU(width)
        self.body = nn.ModuleList(ChainLayer(width) for _ in range(layers))
        self.time = nn.ModuleDict({str(n): TimeConv3d(width, 3) for n in time_after})
        self.windows = (
            _HalfSizeWindows(width, window_width, window=(window[0], window[1], window[2]))
            if window_after
            else None
        )
        self.tone_cells = tone_cells
        self.parts = [3 * tone_cells**2, (KEYS + 1) * _CELLS**2, 2 * KEYS]
        self.head = FrameConv2d(width, sum(self.parts), 3, padding=1)
        self._start_small()

    def forward(
        self,
        lr: Float[Tensor, "b 3 t h w"],
        base: Float[Tensor, "b 3 t h4 w4"],
        details: Float[Tensor, "b 2 3 t h4 w4"],
        confidence: Float[Tensor, "b 2 t h w"],
        nearness: Float[Tensor, "b 2 t"],
    ) -> tuple[Float[Tensor, "b 3 t h4 w4"], Float[Tensor, "b 3 t h4 w4"]]:
        """Return two corrections of the base, whose sum is added: of its tones, of its detail.

        `base` are the frames, in [-1, 1], of a model that sees the small frames alone. `details`
        are those of the keys, warped to each frame; where `confidence` is 0 they are not used.
        `nearness` is 1 for a key at the frame itself and falls to 0 with the distance in time.
        """
        _, _, t, h, w = lr.shape
        known = (confidence > 0)[:, :, None].to(lr.dtype)
        maps = _with_confidence(_packed(details) * known, confidence, nearness)
        nearest = repeat(lr, "b c t h w -> b (c s) t h w", s=SCALE * SCALE)
        own = _packed(base[:, None])[:, 0] - nearest
        learned = self.head(self._features(torch.cat([lr, own, maps], dim=1)))
        tones, logits, offsets = (fold_time(part) for part in learned.split(self.parts, dim=1))
        moved = _moved(rearrange(details, "b k c t h w -> (b t) k c h w"), offsets)
        frames = fold_time(base)
        fine = frames - smooth(frames, gaussian_half(self.config["sigma"]))
        shares = _shares(*_by_frame(confidence, nearness), logits)
        mixed = _mixed(torch.stack([fine, *moved.unbind(1)], dim=1), shares)
        tones = _enlarged(F.pixel_shuffle(tones, self.tone_cells), (SCALE * h, SCALE * w))
        return unfold_time(tones, t), unfold_time(mixed - fine, t)

    def _features(self, x: Tensor) -> Tensor:
        x = self.act_in(self.conv_in(x))
        for number, layer in enumerate(self.body, start=1):
            x = x + layer(x)
            if str(number) in self.time:
                x = x + self.time[str(number)](x)
            if self.windows is not None and number == self.config["window_after"]:
                x = x + self.windows(x)
        return x

    @torch.no_grad()
    def _start_small(self) -> None:
        times = [cast(TimeConv3d, layer) for layer in self.time.values()]
        for layer in (self.head, *times):
            layer.weight.mul_(_SMALL)
            assert layer.bias is not None, "these layers are made with a bias"
            layer.bias.zero_()


class ChainLayer(nn.Module):
    """A convolution and its PReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = FrameConv2d(width, width, 3, padding=1)
        self.act = nn.PReLU(width)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        """Return the next map."""
        return self.act(self.conv(x))


class _HalfSizeWindows(nn.Module):
    """Two layers of 3-D window attention at half the size, the second in shifted windows."""

    def __init__(self, width: int, inner: int, *, window: tuple[int, int, int]) -> None:
        super().__init__()
        self.down = FrameConv2d(width, inner, 2, stride=2)
        self.blocks = nn.ModuleList(
            VideoTransformer(
                inner,
                heads=inner // 32,
                kind="window",
                shifted=shifted,
                style=TransformerStyle(None, window, False, False, "none", 1, 2),
                block_style=BlockStyle(norm="none", activation="prelu"),
            )
            for shifted in (False, True)
        )
        self.up = FrameConv2d(inner, 4 * width, 1)
        nn.init.normal_(self.up.weight, std=_SMALL / inner**0.5)
        nn.init.zeros_(self.up.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        *_, t, h, w = x.shape
        frames = F.pad(fold_time(x), (0, w % 2, 0, h % 2), mode="replicate")
        y = self.down(unfold_time(frames, t))
        for block in self.blocks:
            y = block(y)
        return unfold_time(F.pixel_shuffle(fold_time(self.up(y)), 2)[..., :h, :w], t)


def _moved(
    details: Float[Tensor, "n k c h4 w4"], offsets: Float[Tensor, "n k2 h w"]
) -> Float[Tensor, "n k c h4 w4"]:
    """Return the details, moved by at most `_FARTHEST` large pixels."""
    k = details.shape[1]
    flat = rearrange(details, "n k c h w -> (n k) c h w")
    flow = _FARTHEST * torch.tanh(rearrange(offsets, "n (k d) h w -> (n k) d h w", k=k))
    flow = _enlarged(flow, (details.shape[-2], details.shape[-1]))
    moved = warp(flat, flow, mode="bicubic", padding="border")
    return rearrange(moved, "(n k) c h w -> n k c h w", k=k)


def _mixed(
    details: Float[Tensor, "n m c h4 w4"], shares: Float[Tensor, "n m h4 w4"]
) -> Float[Tensor, "n c h4 w4"]:
    """Return the mean of the details by their shares, with the local energy that it loses."""
    mixed = (details * shares[:, :, None]).sum(dim=1)
    energy = sum(
        _energy(details[:, i]) * F.avg_pool2d(shares[:, i : i + 1], SCALE)
        for i in range(details.shape[1])
    )
    gain = torch.sqrt((energy + _NO_ENERGY) / (_energy(mixed) + _NO_ENERGY)).clamp(1, _MAX_GAIN)
    return mixed * _enlarged(gain, (mixed.shape[-2], mixed.shape[-1]))


def _energy(detail: Float[Tensor, "n c h4 w4"]) -> Float[Tensor, "n 1 h w"]:
    mean = F.avg_pool2d(detail.square().mean(dim=1, keepdim=True), SCALE)
    return F.avg_pool2d(mean, 5, stride=1, padding=2, count_include_pad=False)


def _by_frame(
    confidence: Float[Tensor, "b k t h w"], nearness: Float[Tensor, "b k t"]
) -> tuple[Float[Tensor, "n k h w"], Float[Tensor, "n k 1 1"]]:
    near = rearrange(nearness, "b k t -> (b t) k 1 1")
    return rearrange(confidence, "b k t h w -> (b t) k h w"), near


def _shares(
    confidence: Float[Tensor, "n k h w"],
    nearness: Float[Tensor, "n k 1 1"],
    logits: Float[Tensor, "n ks h w"],
) -> Float[Tensor, "n k1 h4 w4"]:
    """Return the shares of base and keys in the detail of each large pixel; their sum is 1.

    With logits of 0 they are those of the formula: the base has what the best key leaves, and the
    keys share the rest by c / (c + 0.2) and squared nearness. Where no key is known the base has
    all.
    """
    weights = nearness.square() * confidence / (confidence + _HALF_SURE)
    best = confidence.amax(dim=1, keepdim=True)
    keys = best * weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-6)
    known = keys.clamp(min=_NEVER).masked_fill(confidence <= 0, 0)
    start = torch.cat([(1 - best).clamp(min=_NEVER), known], dim=1).log()
    start = start.repeat_interleave(_CELLS, dim=-2).repeat_interleave(_CELLS, dim=-1)
    shares = (start + F.pixel_shuffle(logits, _CELLS)).softmax(dim=1)
    h, w = confidence.shape[-2:]
    return _enlarged(shares, (SCALE * h, SCALE * w))


def _with_confidence(
    details: Float[Tensor, "b k c t h w"],
    confidence: Float[Tensor, "b k t h w"],
    nearness: Float[Tensor, "b k t"],
) -> Float[Tensor, "b kc t h w"]:
    near = nearness[..., None, None] * (confidence > 0)
    maps = torch.cat([details, confidence[:, :, None], near[:, :, None]], dim=2)
    return rearrange(maps, "b k c t h w -> b (k c) t h w")


def _enlarged(x: Float[Tensor, "n c h w"], size: tuple[int, int]) -> Float[Tensor, "n c h4 w4"]:
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


def _packed(keys: Float[Tensor, "b k 3 t h4 w4"]) -> Float[Tensor, "b k c t h w"]:
    return rearrange(keys, "b k c t (h y) (w x) -> b k (c y x) t h w", y=SCALE, x=SCALE)
