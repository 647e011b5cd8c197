"""Optical flow by RAFT, from torchvision, with weights from a file, its cache or a download."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from vsr.errors import ConfigError, ModelError
from vsr.models.weight_files import read_state
from vsr.ops.flow import Flows, no_flows

_log = logging.getLogger(__name__)

RaftSize = Literal["small", "large"]
RAFT_ITERATIONS = 20
RAFT_FILE = "flow/raft.safetensors"
"""The place of RAFT's weights in a model folder that has some."""

# Four halvings of a map at 1/8 of the frame: below 128 pixels the coarsest correlation level has
# one pixel, whose normalised coordinates divide by zero.
_RAFT_MIN_SIZE = 128
_RAFT_STRIDE = 8
# The correlation volume of a pair takes 4 (h w / 64)^2 bytes and a third more for its pyramid.
_RAFT_CORRELATION_BYTES = 2**30


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

        The two names mean torchvision's own weights, taken from its cache or downloaded into it.
        Raises ModelError if a file is missing or does not fit.
        """
        if iterations < 1:
            raise ConfigError(f"RAFT needs at least one iteration, found {iterations = }")
        self.iterations = iterations
        self.device = torch.device(device)
        self._network = _load_raft(weights).eval().requires_grad_(False).to(self.device)

    @torch.no_grad()
    def __call__(self, frames: Float[Tensor, "b 3 t h w"]) -> Flows:
        """Returns flows of t - 1 pairs; frames are padded to multiples of 8, at least 128."""
        b, _, t, h, w = frames.shape
        if t < 2:
            return no_flows(frames)
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


def raft_weights(folder: Path | str | None) -> Path | None:
    """Returns the file of RAFT's weights in a model folder, if it has one."""
    file = Path(folder or "") / RAFT_FILE
    return file if folder and file.is_file() else None


def torchvision_raft_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the original RAFT's state dict (large) under torchvision's names.

    A state dict of torchvision is returned unchanged.

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


def _pad_for_raft(images: Tensor) -> Tensor:
    h, w = images.shape[-2:]
    right, bottom = (max(_RAFT_MIN_SIZE, -(-n // _RAFT_STRIDE) * _RAFT_STRIDE) - n for n in (w, h))
    return F.pad(images, (0, right, 0, bottom), mode="replicate")


def _pairs_at_once(device: torch.device, size: tuple[int, int]) -> int:
    if device.type == "cpu":
        return 1  # on a CPU a batch costs memory and saves no time
    cells = max(1, size[0] * size[1] // _RAFT_STRIDE**2)
    return max(1, _RAFT_CORRELATION_BYTES * 3 // (16 * cells**2))


def _load_raft(weights: Path | str) -> torch.nn.Module:
    if weights in get_args(RaftSize):
        url = _raft_urls()[str(weights)]
        _log.info("RAFT weights %r: %s, or torchvision's cached copy of it", weights, url)
        state = _downloaded(url)
    else:
        state = torchvision_raft_keys(read_state(Path(weights)))
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
            f"RAFT weights cannot be downloaded from {url} ({error}): give a file"
        ) from error


def cached_raft() -> Path | None:
    """Returns the file of RAFT's weights in torchvision's cache, if it has one."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    files = (folder / url.rpartition("/")[2] for url in _raft_urls().values())
    return next((file for file in files if file.is_file()), None)
