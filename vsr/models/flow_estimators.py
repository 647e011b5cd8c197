"""Optical flow between neighbouring frames: OpenCV's DIS, which needs no weights, and RAFT."""

import logging
import pickle
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vsr.config import nearest
from vsr.errors import ConfigError, ModelError
from vsr.ops.flow import Flows

__all__ = [
    "RAFT_FILE",
    "DisFlow",
    "FlowEstimator",
    "FlowName",
    "Flows",
    "RaftFlow",
    "flow_estimator",
    "raft_weights",
    "torchvision_raft_keys",
]

logger = logging.getLogger(__name__)

FlowName = Literal["auto", "dis", "raft"]
DisPreset = Literal["ultrafast", "fast", "medium"]
RaftSize = Literal["small", "large"]
RAFT_ITERATIONS = 20
RAFT_FILE = "flow/raft.safetensors"
"""Where a model folder keeps the weights of its RAFT, if it has some."""

# Four halvings of a map at 1/8 of the frame: below 128 pixels the coarsest correlation level has
# one pixel, whose normalised coordinates divide by zero.
_RAFT_MIN_SIZE = 128
_RAFT_STRIDE = 8
# The correlation volume of a pair takes 4 (h w / 64)^2 bytes and a third more for its pyramid.
_RAFT_CORRELATION_BYTES = 2**30
# DIS matches patches of 8 pixels at 1/4 (preset medium: 1/2) and below; on wide frames less than
# 8 * 4 pixels high OpenCV 5.0 picks a level without a single patch and dies of a memory fault.
_DIS_MIN_SIZE = 32


class FlowEstimator(Protocol):
    """Anything that returns the flow between neighbouring frames of [-1, 1], both ways."""

    def __call__(self, frames: Float[Tensor, "b 3 t h w"]) -> Flows:
        """Flows of t - 1 pairs in pixels of the frames, float32, on the frames' device; finite."""
        ...


class DisFlow:
    """Dense inverse search on luma (Kroeger et al. 2016), as OpenCV has it; runs on the CPU."""

    def __init__(self, preset: str = "medium") -> None:
        if preset not in get_args(DisPreset):
            raise ConfigError(f"unknown DIS {preset = }, allowed are {get_args(DisPreset)}")
        self._search = cv2.DISOpticalFlow.create(
            getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{preset.upper()}")
        )

    def __call__(self, frames: Float[Tensor, "b 3 t h w"]) -> Flows:
        """Flows of t - 1 pairs; frames below 32 pixels are edge-padded up, their flow cropped."""
        if frames.shape[2] < 2:
            return _no_pairs(frames)
        clips = _luma(frames)
        forward = [[self._pair(*pair) for pair in pairwise(clip)] for clip in clips]
        backward = [[self._pair(*pair[::-1]) for pair in pairwise(clip)] for clip in clips]
        return Flows(_stacked(forward).to(frames.device), _stacked(backward).to(frames.device))

    def _pair(self, source: NDArray[np.uint8], target: NDArray[np.uint8]) -> NDArray[np.float32]:
        h, w = source.shape
        margin = ((0, max(0, _DIS_MIN_SIZE - h)), (0, max(0, _DIS_MIN_SIZE - w)))
        padded = [np.pad(image, margin, mode="edge") for image in (source, target)]
        flow: Any = self._search.calc(padded[0], padded[1], None)  # type: ignore[call-overload]
        return rearrange(np.asarray(flow[:h, :w], np.float32), "h w two -> two h w")


class RaftFlow:
    """RAFT (Teed & Deng 2020) by torchvision, with weights from a file, its cache or a download."""

    def __init__(
        self,
        weights: Path | str,
        *,
        iterations: int = RAFT_ITERATIONS,
        device: torch.device | str = "cpu",
    ) -> None:
        """Load `weights`: a file of torchvision's or the original RAFT, or "small" or "large".

        The two names stand for torchvision's own weights, taken from its cache or downloaded into
        it. Raises ModelError where a file is missing or does not fit.
        """
        if iterations < 1:
            raise ConfigError(f"RAFT needs at least one iteration, found {iterations = }")
        self.iterations = iterations
        self.device = torch.device(device)
        self._network = _load_raft(weights).eval().requires_grad_(False).to(self.device)

    @torch.no_grad()
    def __call__(self, frames: Float[Tensor, "b 3 t h w"]) -> Flows:
        """Flows of t - 1 pairs; frames are padded by their edge to multiples of 8, at least 128."""
        b, _, t, h, w = frames.shape
        if t < 2:
            return _no_pairs(frames)
        images = rearrange(frames.to(self.device, torch.float32), "b c t h w -> t b c h w")
        padded = torch.stack([_pad_for_raft(image) for image in images])
        earlier, later = padded[:-1].flatten(0, 1), padded[1:].flatten(0, 1)
        together = _pairs_at_once(self.device, (h, w))
        flows = [
            self._network(source, target, num_flow_updates=self.iterations)[-1][..., :h, :w]
            for source, target in zip(
                torch.cat((earlier, later)).split(together),
                torch.cat((later, earlier)).split(together),
                strict=True,
            )
        ]
        ways = rearrange(
            torch.cat(flows), "(ways pairs b) two h w -> ways b two pairs h w", ways=2, b=b
        ).to(frames.device)
        return Flows(forward=ways[0], backward=ways[1])


def flow_estimator(
    name: str = "auto",
    *,
    weights: Path | str | None = None,
    device: torch.device | str = "cpu",
) -> FlowEstimator:
    """The estimator of that name; the log says which one runs and why.

    "auto" is RAFT where weights are given, or lie in torchvision's cache and the device is not a
    CPU; else DIS. "raft" without weights takes those of the cache and downloads nothing.
    """
    if name not in get_args(FlowName):
        known = get_args(FlowName)
        raise ConfigError(
            f"unknown flow estimator {name!r}, allowed are {', '.join(known)}{nearest(name, known)}"
        )
    if name == "dis":
        return _announced(DisFlow(), "DIS", "it was asked for")
    if weights is not None:
        return _announced(RaftFlow(weights, device=device), "RAFT", f"weights are given: {weights}")
    if name == "auto" and torch.device(device).type == "cpu":
        return _announced(DisFlow(), "DIS", "the device is a CPU, where RAFT is slow")
    cached = _cached_raft()
    if cached is not None:
        return _announced(RaftFlow(cached, device=device), "RAFT", f"its weights are in {cached}")
    if name == "raft":
        raise ModelError(
            "flow by RAFT needs weights and torchvision's cache holds none: give a file, or "
            '"small" or "large" to download torchvision\'s'
        )
    return _announced(DisFlow(), "DIS", "no RAFT weights are given or cached")


def raft_weights(folder: Path | str | None) -> Path | None:
    """The file of RAFT's weights in a model folder, if it has one."""
    file = Path(folder or "") / RAFT_FILE
    return file if folder and file.is_file() else None


def torchvision_raft_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of the original RAFT (large) under torchvision's names; torchvision's as it is.

    The original saves from DataParallel (prefix `module.`), and holds the norm of each
    downsampling twice, as `norm3` and as `downsample.1`.
    """
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        name = key.removeprefix("module.")
        if re.search(r"\.norm3\.", name):
            continue
        for pattern, replacement in _ORIGINAL_TO_TORCHVISION:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed


_ORIGINAL_TO_TORCHVISION: tuple[tuple[str, str], ...] = (
    (r"^fnet\.(?=conv|norm|layer)", "fnet>feature_encoder."),
    (r"^cnet\.(?=conv|norm|layer)", "cnet>context_encoder."),
    (r"^(.net>\w+_encoder\.)conv1\.", r"\1convnormrelu.0."),
    (r"^(.net>\w+_encoder\.)norm1\.", r"\1convnormrelu.1."),
    (r"^(.net>\w+_encoder\.)conv2\.", r"\1conv."),
    (r"^(.net>\w+_encoder\.layer\d\.\d\.)conv(\d)\.", r"\1convnormrelu\2.0."),
    (r"^(.net>\w+_encoder\.layer\d\.\d\.)norm(\d)\.", r"\1convnormrelu\2.1."),
    (r"^.net>", ""),
    (r"^update_block\.encoder\.convc(\d)\.", r"update_block.motion_encoder.convcorr\1.0."),
    (r"^update_block\.encoder\.convf(\d)\.", r"update_block.motion_encoder.convflow\1.0."),
    (r"^update_block\.encoder\.conv\.", "update_block.motion_encoder.conv.0."),
    (r"^update_block\.gru\.conv([zrq])(\d)\.", r"update_block.recurrent_block.convgru\2.conv\1."),
    (r"^update_block\.mask\.0\.", "mask_predictor.convrelu.0."),
    (r"^update_block\.mask\.2\.", "mask_predictor.conv."),
)


def _announced(estimator: FlowEstimator, name: str, reason: str) -> FlowEstimator:
    logger.info("flow by %s: %s", name, reason)
    return estimator


def _no_pairs(frames: Tensor) -> Flows:
    b, _, _, h, w = frames.shape
    empty = torch.zeros(b, 2, 0, h, w, device=frames.device)
    return Flows(forward=empty, backward=empty)


def _luma(frames: Tensor) -> NDArray[np.uint8]:
    """Luma of ITU-R BT.601, `b t h w`."""
    red, green, blue = frames.detach().to("cpu", torch.float32).unbind(dim=1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return (luma * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8).numpy()


def _stacked(clips: list[list[NDArray[np.float32]]]) -> Tensor:
    return rearrange(torch.from_numpy(np.array(clips)), "b pairs two h w -> b two pairs h w")


def _pad_for_raft(images: Tensor) -> Tensor:
    h, w = images.shape[-2:]
    right, bottom = (max(_RAFT_MIN_SIZE, -(-n // _RAFT_STRIDE) * _RAFT_STRIDE) - n for n in (w, h))
    return F.pad(images, (0, right, 0, bottom), mode="replicate")


def _pairs_at_once(device: torch.device, size: tuple[int, int]) -> int:
    if device.type == "cpu":
        return 1  # a batch costs a CPU memory and gains it no time
    cells = max(1, size[0] * size[1] // _RAFT_STRIDE**2)
    return max(1, _RAFT_CORRELATION_BYTES * 3 // (16 * cells**2))


def _load_raft(weights: Path | str) -> torch.nn.Module:
    if weights in get_args(RaftSize):
        url = _raft_urls()[str(weights)]
        logger.info("RAFT weights %r: %s, or torchvision's cached copy of it", weights, url)
        state = _downloaded(url)
    else:
        state = torchvision_raft_keys(_read_weights(Path(weights)))
    size = "large" if any("convgru2" in key for key in state) else "small"
    network = _new_raft(size)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:400]
        raise ModelError(f"{weights} does not hold the weights of RAFT {size}: {reason}") from error
    return network


def _new_raft(size: str) -> torch.nn.Module:
    from torchvision.models import optical_flow  # at use: DIS alone needs no second of import

    return {"small": optical_flow.raft_small, "large": optical_flow.raft_large}[size](weights=None)


def _raft_urls() -> dict[str, str]:
    from torchvision.models.optical_flow import Raft_Large_Weights, Raft_Small_Weights

    return {
        "large": Raft_Large_Weights.DEFAULT.url,
        "small": Raft_Small_Weights.DEFAULT.url,
    }


def _downloaded(url: str) -> Mapping[str, Tensor]:
    try:
        return torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise ModelError(
            f"RAFT weights could not be had from {url} ({error}): give a file"
        ) from error


def _cached_raft() -> Path | None:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    files = (folder / url.rpartition("/")[2] for url in _raft_urls().values())
    return next((file for file in files if file.is_file()), None)


def _read_weights(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise ModelError(f"RAFT weights not found: {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ModelError(f"{path} cannot be read as RAFT weights: {error}") from error
