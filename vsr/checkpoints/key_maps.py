"""State dicts of published checkpoints under the names and shapes of our networks."""

import math
import re
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from vsr.errors import ModelError
from vsr.models.rope import rotary_frequencies

State = dict[str, Tensor]
Shapes = Mapping[str, torch.Size]

ROTARY_KEY = "temporal_rotary_emb.freqs"
_ROTARY_ALIAS = ".attn_temporal.rotary_emb.freqs"

# diffusers < 0.17 named the projections of the autoencoder's attention so.
_OLD_ATTENTION = re.compile(r"(\.attentions\.\d+\.)(query|key|value|proj_attn)\.")
_ATTENTION_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}

_LAVIE_NAMES = (
    ("down_temporal_blocks.", "down_temp_blocks."),
    ("mid_temporal_block.", "mid_temp_block."),
    ("up_temporal_blocks.", "up_temp_blocks."),
    ("resblocks_3d_t.", "resblocks_3d_temporal."),
    ("resblocks_3d_s.", "resblocks_3d_spatial."),
)

_TEMPORAL_LAYER = re.compile(
    r"(^|\.)((down_|up_)temp_blocks|mid_temp_block|resblock_temporal|attn_temporal|norm_temporal"
    r"|temporal_rotary_emb)\."
)
# The last layer of each temporal branch: at zero, the branch adds nothing.
_BRANCH_END = re.compile(
    r"(shift_conv|resblock_temporal\.conv2|attn_temporal\.to_out\.0)\.(weight|bias)$"
)


def without_wrapper(state: Mapping[str, Tensor]) -> State:
    """Returns the state without DataParallel's prefix `module.`, if every key has it."""
    wrapped = bool(state) and all(key.startswith("module.") for key in state)
    return {key.removeprefix("module.") if wrapped else key: state[key] for key in state}


def with_new_attention_names(state: Mapping[str, Tensor]) -> State:
    """Returns the state with to_q, to_k, to_v, to_out.0 for diffusers' former query, key, ..."""
    return {new_attention_name(key): value for key, value in state.items()}


def new_attention_name(key: str) -> str:
    """Returns a key with to_q, to_k, to_v or to_out.0 for diffusers' former name."""
    return _OLD_ATTENTION.sub(lambda found: f"{found[1]}{_ATTENTION_NAMES[found[2]]}.", key)


def from_lavie(state: Mapping[str, Tensor]) -> State:
    """Returns LaVie VSR's U-Net under the names of Upscale-A-Video's, the same network."""
    renamed: State = {}
    for key, value in state.items():
        for theirs, ours in _LAVIE_NAMES:
            key = re.sub(rf"(^|\.){re.escape(theirs)}", rf"\g<1>{ours}", key)
        renamed[key] = value
    return renamed


def with_one_rotary(state: Mapping[str, Tensor], *, where: str) -> State:
    """Returns the state with one copy of the rotary frequencies, which every layer repeats.

    Raises ModelError, with the key, if a layer has other ones: they would be lost.
    """
    kept = {key: value for key, value in state.items() if not key.endswith(_ROTARY_ALIAS)}
    for key, value in state.items():
        if not key.endswith(_ROTARY_ALIAS):
            continue
        shared = kept.setdefault(ROTARY_KEY, value)
        if not torch.equal(value, shared):
            raise ModelError(
                f"{where}: {key} differs from {ROTARY_KEY}; all layers must share their frequencies"
            )
    return kept


def fitted(state: Mapping[str, Tensor], shapes: Shapes, *, where: str) -> State:
    """Returns the state for a network of these shapes, 1x1 convolutions as linear layers.

    Raises ModelError with the first key that is missing, unexpected or of another shape.
    """
    check_keys(state, shapes, where=where, reason="weights and config do not belong together")
    fitting: State = {}
    for key, shape in shapes.items():
        value = state[key]
        if value.ndim == 4 and len(shape) == 2 and value.shape[2:] == (1, 1):
            value = value[:, :, 0, 0]
        if value.shape != shape:
            raise ModelError(
                f"{where}: {key} has shape {tuple(state[key].shape)}, the config says "
                f"{tuple(shape)}"
            )
        fitting[key] = value
    return fitting


def check_keys(found: Collection[str], wanted: Collection[str], *, where: str, reason: str) -> None:
    """Raise ModelError with the first key that is missing or unexpected, and a reason for it."""
    for here, needed, problem in ((found, wanted, "lacks"), (wanted, found, "has, too many,")):
        if wrong := [key for key in needed if key not in here]:
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise ModelError(f"{where} {problem} {wrong[0]}{more}: {reason}")


def inflated(state: Mapping[str, Tensor], shapes: Shapes) -> State:
    """Returns a 2-D U-Net's state with new temporal layers, which at first change nothing.

    The last layer of every temporal branch is zero. The others have PyTorch's initial values,
    uniform within 1 / sqrt(inputs), from a fixed seed, so that training can begin. Other missing
    keys stay missing.
    """
    generator = torch.Generator().manual_seed(0)
    fresh = {
        key: _fresh(key, shape, generator)
        for key, shape in shapes.items()
        if key not in state and _TEMPORAL_LAYER.search(key)
    }
    return {**state, **fresh}


def _fresh(key: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    if key == ROTARY_KEY:
        return rotary_frequencies(2 * shape[0])
    if _BRANCH_END.search(key) or key.endswith(".bias"):
        return torch.zeros(shape)
    if len(shape) == 1:
        return torch.ones(shape)
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)
