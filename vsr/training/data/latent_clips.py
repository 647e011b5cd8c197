"""Training samples whose latents were computed before: shards of safetensors, read by number.

A folder of shards holds `index.json`, `shard_00000.safetensors` and so on, and
`prompts.safetensors` where the model reads text. A shard has `hq_latents` `n c t h w`
(float16, scaled as the U-Net sees them), `lr` `n t h w 3` (uint8) and `prompt` (number of the
prompt, `n`).
`vsr data precompute` writes them.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from einops import rearrange
from jaxtyping import Float, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import Dataset

from vsr.errors import ConfigError, InputError
from vsr.models.vae import AutoencoderKLVideo
from vsr.runtime.files import write_atomically

INDEX = "index.json"
PROMPTS = "prompts.safetensors"
EMPTY_PROMPT = "empty"
"""Name of the empty prompt's embedding; the n-th caption's is `prompt_n`."""


@dataclass(frozen=True, slots=True)
class LatentIndex:
    """Contents of a folder of shards: the first `samples` samples of `data`."""

    samples: int
    shard_samples: int
    crop: int
    frames: int
    encoder: str
    """`encoder_fingerprint` of the autoencoder that made the latents."""
    data: dict[str, Any]
    """The config of the samples, in plain form."""
    captions: tuple[str, ...] = ()
    """The n-th prompt's text; the first is empty."""
    schema: int = 1

    def write(self, folder: Path) -> None:
        """Write `index.json`, complete or not at all."""
        write_atomically(folder / INDEX, json.dumps(asdict(self), indent=1).encode())

    def shard(self, number: int) -> str:
        """The name of a shard."""
        return f"shard_{number:05d}.safetensors"

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.samples // self.shard_samples)


def read_index(folder: Path) -> LatentIndex:
    """The index of a folder of shards; InputError if there is none."""
    path = folder / INDEX
    if not path.is_file():
        raise InputError(f"{folder} has no {INDEX}; vsr data precompute makes such folders")
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        values["captions"] = tuple(values["captions"])
        return LatentIndex(**values)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not an index of latents: {error}") from error


class LatentClips(Dataset[dict[str, Tensor]]):
    """Samples by number without end, each epoch in an order of its own that the seed gives.

    A sample holds `latents` `c t h w`, `lr` `3 t h w` in [-1, 1] and, if the shards have texts,
    `prompt` `n d`.
    """

    def __init__(self, folder: Path, *, crop: int, frames: int, seed: int = 0) -> None:
        self.folder, self.seed = folder, seed
        self.index = read_index(folder)
        found = (self.index.crop, self.index.frames)
        if found != (crop, frames):
            raise ConfigError(
                f"{folder} holds clips of {found[1]} frames and crop {found[0]}; the stage wants "
                f"{frames} frames and crop {crop}: make shards for it by vsr data precompute"
            )
        path = folder / PROMPTS
        self.prompts = load_file(path) if path.is_file() else None
        self._open: dict[int, Any] = {}

    def __len__(self) -> int:
        return self.index.samples

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """Sample `number`; raises InputError where its shard is missing or damaged."""
        epoch, place = divmod(number, len(self))
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self))
        shard, row = divmod(int(order[place]), self.index.shard_samples)
        parts = self._shard(shard)
        sample = {
            "latents": parts.get_slice("hq_latents")[row].float(),
            "lr": small_frames(parts.get_slice("lr")[row]),
        }
        if self.prompts is not None:
            text = int(parts.get_slice("prompt")[row])
            sample["prompt"] = self.prompts[f"prompt_{text}" if text else EMPTY_PROMPT].float()
        return sample

    def __getstate__(self) -> dict[str, Any]:
        """Without the open files: a spawned process opens its own."""
        return self.__dict__ | {"_open": {}}

    def check_encoder(self, vae: AutoencoderKLVideo) -> None:
        """Raise ConfigError where another autoencoder made the latents."""
        if encoder_fingerprint(vae) != self.index.encoder:
            raise ConfigError(
                f"{self.folder} holds latents of another autoencoder; make them again by "
                "vsr data precompute with the model that is trained"
            )

    def _shard(self, number: int) -> Any:
        if number not in self._open:
            path = self.folder / self.index.shard(number)
            try:
                self._open[number] = safe_open(path, framework="pt")
            except (OSError, SafetensorError) as error:
                raise InputError(
                    f"{path} cannot be read ({error}); run vsr data precompute again"
                ) from error
        return self._open[number]


def encoder_fingerprint(vae: AutoencoderKLVideo) -> str:
    """A hash of all that latents depend on: the kind of latents, their scale, the encoder."""
    named = ("latents", "latent_channels", "scaling_factor")
    digest = hashlib.sha256(repr([vae.config[name] for name in named]).encode())
    for name, value in sorted(vae.state_dict().items()):
        if name.startswith(("encoder.", "quant_conv.")):
            digest.update(name.encode() + value.float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def small_frames(pixels: UInt8[Tensor, "t h w 3"]) -> Float[Tensor, "3 t h w"]:
    """Stored small frames as the networks see them, in [-1, 1]."""
    return rearrange(pixels.float() / 127.5 - 1, "t h w c -> c t h w").contiguous()
