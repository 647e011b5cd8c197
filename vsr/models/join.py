"""The joining network: small frames and warped key frames of a strong network in, large frames out.

Everything runs at the size of the small frames: large frames are packed, 4x4 pixels into channels.
A chain of convolutions, as in SRVGG (Wang et al. 2021), makes a base from the small frames alone.
Weights for the base and the keys say at each pixel from which of them its fine detail comes; they
start from the confidences, as the fusion by formula, and the network corrects them and the result.
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

KEYS = 2
SCALE = 4
PACKED = 3 * SCALE * SCALE
_SMALL = 0.05
"""Factor on the initial weights of layers that join a chain of pretrained ones."""
_NEVER = 1e-4
"""Share that a key of no confidence still has, so that its logit is finite."""


class JoinNetwork(ModelMixin, ConfigMixin):
    """Joins the fine detail of warped keys to a base made of the small frames.

    `width` channels in a chain of `layers` convolutions; a `TimeConv3d` after each of `time_after`
    layers, and 3-D window attention at half the size, `window_width` wide, after `window_after`
    (0: none).
    """

    @register_to_config
    def __init__(
        self,
        width: int = 64,
        layers: int = 32,
        time_after: Sequence[int] = (10, 22),
        window_after: int = 16,
        window_width: int = 96,
        window: Sequence[int] = (4, 8, 8),
    ) -> None:
        super().__init__()
        key_channels = KEYS * (PACKED + 2)
        self.conv_in = FrameConv2d(3, width, 3, padding=1)
        self.act_in = nn.PReLU(width)
        self.key_in = FrameConv2d(key_channels + 1, width, 3, padding=1)
        self.body = nn.ModuleList(ChainLayer(width) for _ in range(layers))
        self.time = nn.ModuleDict({str(n): TimeConv3d(width, 3) for n in time_after})
        self.windows = (
            _HalfSizeWindows(width, window_width, window=(window[0], window[1], window[2]))
            if window_after
            else None
        )
        self.conv_out = FrameConv2d(width, PACKED, 3, padding=1)
        self.join = FrameConv2d(width + key_channels, width, 3, padding=1)
        self.join_act = nn.PReLU(width)
        shares = (KEYS + 1) * SCALE * SCALE
        self.head = FrameConv2d(width + KEYS * PACKED, PACKED + shares, 3, padding=1)
        self._start_small()

    def forward(
        self,
        lr: Float[Tensor, "b 3 t h w"],
        keys: Float[Tensor, "b 2 3 t h4 w4"],
        confidence: Float[Tensor, "b 2 t h w"],
        nearness: Float[Tensor, "b 2 t"],
        noise_level: Float[Tensor, " b"],
    ) -> Float[Tensor, "b 3 t h4 w4"]:
        """Return the large frames in [-1, 1], not clipped.

        `keys` are warped to each frame; where `confidence` is 0 they are not used. `nearness` is 1
        for a key at the frame itself and falls to 0 with the distance in time. `noise_level` says
        how far the small frames can be trusted: 0 is clean, 1 is very bad.
        """
        nearest = repeat(lr, "b c t h w -> b (c s) t h w", s=SCALE * SCALE)
        known = (confidence > 0)[:, :, None].to(lr.dtype)
        packed = _packed(keys)
        differences = (packed - nearest[:, None]) * known
        maps = _with_confidence(differences, confidence, nearness)
        level = noise_level.view(-1, 1, 1, 1, 1).expand(-1, 1, *lr.shape[2:])
        features = self._features(lr, torch.cat([maps, level.to(maps)], dim=1))
        base = nearest + self.conv_out(features)
        joined = self.join_act(self.join(torch.cat([features, maps], dim=1)))
        flat = rearrange(differences, "b k c t h w -> b (k c) t h w")
        correction, logits = self.head(torch.cat([joined, flat], dim=1)).split(
            [PACKED, (KEYS + 1) * SCALE * SCALE], dim=1
        )
        shares = _shares(confidence, nearness, logits)
        own = _fine(base)
        detail = (shares[:, 1:] * (_fine_keys(packed) - own[:, None]) * known).sum(dim=1)
        return _unpacked(base + detail + correction)

    @property
    def chain(self) -> list["ChainLayer"]:
        """The layers that an image network's chain starts, in their order."""
        return [cast(ChainLayer, layer) for layer in self.body]

    def _features(self, lr: Tensor, maps: Tensor) -> Tensor:
        x = self.act_in(self.conv_in(lr) + self.key_in(maps))
        for number, layer in enumerate(self.body, start=1):
            x = layer(x)
            if str(number) in self.time:
                x = x + self.time[str(number)](x)
            if self.windows is not None and number == self.config["window_after"]:
                x = x + self.windows(x)
        return x

    @torch.no_grad()
    def _start_small(self) -> None:
        times = [cast(TimeConv3d, layer) for layer in self.time.values()]
        for layer in (self.key_in, self.head, *times):
            layer.weight.mul_(_SMALL)
            assert layer.bias is not None, "these layers are made with a bias"
            layer.bias.zero_()


class ChainLayer(nn.Module):
    """A convolution and its PReLU, as SRVGG has them."""

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


def _shares(
    confidence: Float[Tensor, "b k t h w"],
    nearness: Float[Tensor, "b k t"],
    logits: Float[Tensor, "b sk t h w"],
) -> Float[Tensor, "b k1 c t h w"]:
    """Return the shares of base and keys in the detail, for each packed pixel; their sum is 1.

    With logits of 0 they are those of the formula: the base has what the best key leaves, and the
    keys share the rest by confidence and squared nearness.
    """
    weights = confidence * nearness[..., None, None].square()
    best = confidence.amax(dim=1, keepdim=True)
    keys = best * weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-6)
    start = torch.cat([1 - best, keys], dim=1).clamp(min=_NEVER).log()
    learned = rearrange(logits, "b (k s) t h w -> b k s t h w", k=KEYS + 1)
    shares = (start[:, :, None] + learned).softmax(dim=1)
    return repeat(shares, "b k s t h w -> b k (c s) t h w", c=3)


def _with_confidence(
    differences: Float[Tensor, "b k c t h w"],
    confidence: Float[Tensor, "b k t h w"],
    nearness: Float[Tensor, "b k t"],
) -> Float[Tensor, "b kc t h w"]:
    near = nearness[..., None, None] * (confidence > 0)
    maps = torch.cat([differences, confidence[:, :, None], near[:, :, None]], dim=2)
    return rearrange(maps, "b k c t h w -> b (k c) t h w")


def _fine(packed: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
    """Return the part that the small frames cannot show: all but the enlarged 4x4 means."""
    means = rearrange(packed, "b (c s) t h w -> (b t) c s h w", s=SCALE * SCALE).mean(dim=2)
    coarse = F.interpolate(means, scale_factor=SCALE, mode="bilinear", align_corners=False)
    return packed - unfold_time(F.pixel_unshuffle(coarse, SCALE), packed.shape[2])


def _fine_keys(packed: Float[Tensor, "b k c t h w"]) -> Float[Tensor, "b k c t h w"]:
    fine = _fine(rearrange(packed, "b k c t h w -> (b k) c t h w"))
    return rearrange(fine, "(b k) c t h w -> b k c t h w", k=KEYS)


def _packed(keys: Float[Tensor, "b k 3 t h4 w4"]) -> Float[Tensor, "b k c t h w"]:
    return rearrange(keys, "b k c t (h y) (w x) -> b k (c y x) t h w", y=SCALE, x=SCALE)


def _unpacked(packed: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b 3 t h4 w4"]:
    return rearrange(packed, "b (c y x) t h w -> b c t (h y) (w x)", y=SCALE, x=SCALE)
