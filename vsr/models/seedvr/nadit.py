"""NaDiT: the diffusion transformer of SeedVR and SeedVR2 (Wang et al. 2025), 3B and 7B."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import ClassVar

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vsr.models.blocks import CheckpointMixin
from vsr.models.placement import on_device
from vsr.models.seedvr.block import MlpKind, TransformerBlock
from vsr.models.seedvr.branches import RmsNorm, StoredLinear
from vsr.models.seedvr.modulation import Modulation, OutputVectors, TimeEmbedding
from vsr.models.seedvr.rope import RopeKind
from vsr.models.seedvr.windows import token_windows
from vsr.ops.attention import check_backend

LATENT_CHANNELS = 16
PATCH = 2
"""A token is 2x2 latent pixels of one latent frame."""
_IN_CHANNELS = 2 * LATENT_CHANNELS + 1


class _Projection(nn.Module):
    """A linear layer under the published name `proj`."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.proj = nn.Linear(inputs, outputs)

    def forward(self, x: Float[Tensor, "*n i"]) -> Float[Tensor, "*n o"]:
        return self.proj(x)


class NaDiT(CheckpointMixin, ModelMixin, ConfigMixin):
    """Predicts the velocity, noise minus clean latents, of one clip of any length and even size.

    The defaults are the published 3B network; 7B has width 3072, 24 heads, 36 layers, all separate,
    `mlp="gelu"`, `rope="window"` and no output norm. `separate_layers`: the first blocks, whose
    text has weights of its own. With `output_norm` the last block drops its text. `block_device`:
    each block is there only while it computes; None: blocks stay where they are.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules: ClassVar[list[str]] = ["NaDiT", "TransformerBlock"]
    lora_targets: ClassVar[tuple[str, ...]] = (
        *("proj_qkv.vid", "proj_qkv.txt", "proj_qkv.all"),
        *("proj_out.vid", "proj_out.txt", "proj_out.all"),
    )
    """The projections of attention."""

    @register_to_config
    def __init__(
        self,
        width: int = 2560,
        heads: int = 20,
        layers: int = 32,
        separate_layers: int = 10,
        text_width: int = 5120,
        mlp: MlpKind = "swiglu",
        rope: RopeKind = "integer",
        output_norm: bool = True,
    ):
        super().__init__()
        self.block_device: torch.device | None = None
        self.vid_in = _Projection(PATCH**2 * _IN_CHANNELS, width)
        self.txt_in = nn.Linear(text_width, width)
        self.emb_in = TimeEmbedding(width)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                heads,
                width // heads,
                separate=i < separate_layers,
                mlp=mlp,
                rope=rope,
                keeps_text=not (output_norm and i == layers - 1),
            )
            for i in range(layers)
        )
        self.vid_out_norm = RmsNorm(width) if output_norm else None
        self.vid_out_ada = OutputVectors(width) if output_norm else None
        self.vid_out = _Projection(width, PATCH**2 * LATENT_CHANNELS)

    @property
    def text_width(self) -> int:
        """Values of a word."""
        return self.txt_in.in_features

    def set_attention_backend(self, backend: str) -> None:
        """Choose the backend of attention; raises ConfigError for an unknown one."""
        check_backend(backend)
        for block in self._blocks():
            block.attn.backend = backend

    def store(self, dtype: torch.dtype) -> None:
        """Keep the large weights of the blocks in a shorter format; each call casts its own."""
        for layer in self.blocks.modules():
            if isinstance(layer, StoredLinear):
                layer.weight.data = layer.weight.data.to(dtype)

    def forward(
        self,
        latents: Float[Tensor, "t h w 16"],
        condition: Float[Tensor, "t h w 16"],
        text: Float[Tensor, "words text_width"],
        timestep: float,
    ) -> Float[Tensor, "t h w 16"]:
        """Returns the velocity at a timestep from 0 (clean) to 1000 (noise).

        `condition`: the latents of the frames to restore. `h` and `w` must be even.
        """
        mask = torch.ones_like(latents[..., :1])
        pixels = torch.cat([latents, condition, mask], dim=-1)
        tokens = rearrange(pixels, "t (h y) (w x) c -> t h w (y x c)", y=PATCH, x=PATCH)
        video, words = self.vid_in(tokens), self.txt_in(text)
        time = Modulation(self.emb_in(timestep))
        device = self.block_device
        shape = (video.shape[0], video.shape[1], video.shape[2])
        groups = [token_windows(shape, shifted=shifted) for shifted in (False, True)]
        for i, block in enumerate(self._blocks()):
            with nullcontext() if device is None else on_device(block, device):
                video, words = self.checkpointed(block)(video, words, time, groups[i % 2])
        return self._output(video, time)

    def _output(self, video: Tensor, time: Modulation) -> Tensor:
        if self.vid_out_norm is not None and self.vid_out_ada is not None:
            video = self.vid_out_ada(self.vid_out_norm(video), time)
        return rearrange(self.vid_out(video), "t h w (y x c) -> t (h y) (w x) c", y=PATCH, x=PATCH)

    def _blocks(self) -> Iterator[TransformerBlock]:
        for block in self.blocks:
            assert isinstance(block, TransformerBlock)
            yield block
