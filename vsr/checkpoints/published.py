"""The config files of the published networks, read into the fields of ours.

A field is read, or known to have no effect, or must have the one value that our networks compute
by; anything else is refused, so that no checkpoint loads into a network that it was not made for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from vsr.config import nearest
from vsr.errors import ModelError

Fields = dict[str, Any]

# What Stable Diffusion's x4 upscaler, and so every network inflated from it, decodes with.
UPSCALER_SCALING_FACTOR = 0.08333

_NO_EFFECT = ("_class_name", "_diffusers_version", "_name_or_path", "sample_size")
_ACTIVATIONS = ("silu", "swish")

_UNET_READ = (
    "in_channels",
    "out_channels",
    "block_out_channels",
    "layers_per_block",
    "attention_head_dim",
    "num_attention_heads",
    "cross_attention_dim",
    "only_cross_attention",
    "down_block_types",
    "up_block_types",
    "norm_num_groups",
    "norm_eps",
    "num_class_embeds",
    "max_noise_level",
    "down_temporal_idx",
    "mid_temporal",
    "up_temporal_idx",
)
_UNET_NO_EFFECT = (
    *_NO_EFFECT,
    "use_linear_projection",  # a 1x1 convolution is a linear layer of another shape
    "upcast_attention",  # a number format, which the caller chooses here
    "dropout",  # of training
    "addition_embed_type_num_heads",  # of an embedding that must be absent
    "video_condition",  # LaVie's: conditions of other tasks
)
_UNET_FIXED: Mapping[str, tuple[Any, ...]] = {
    "act_fn": _ACTIVATIONS,
    "addition_embed_type": (None,),
    "addition_time_embed_dim": (None,),
    "attention_type": ("default",),
    "center_input_sample": (False,),
    "class_embed_type": (None,),
    "class_embeddings_concat": (False,),
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "cross_attention_norm": (None,),
    "downsample_padding": (1,),
    "dual_cross_attention": (False,),
    "encoder_hid_dim": (None,),
    "encoder_hid_dim_type": (None,),
    "flip_sin_to_cos": (True,),
    "freq_shift": (0,),
    "mid_block_only_cross_attention": (None, False),
    "mid_block_scale_factor": (1,),
    "mid_block_type": ("UNetMidBlock2DCrossAttn", "UNetMidBlock3DCrossAttn"),
    "projection_class_embeddings_input_dim": (None,),
    "resnet_out_scale_factor": (1,),
    "resnet_skip_time_act": (False,),
    "resnet_time_scale_shift": ("default",),
    "reverse_transformer_layers_per_block": (None,),
    "temporal_module_config": (None, {"attention_block_types": ["", ""]}),
    "time_cond_proj_dim": (None,),
    "time_embedding_act_fn": (None,),
    "time_embedding_dim": (None,),
    "time_embedding_type": ("positional",),
    "timestep_post_act": (None,),
    "transformer_layers_per_block": (1,),
}

_VAE_READ = (
    "in_channels",
    "out_channels",
    "latent_channels",
    "block_out_channels",
    "layers_per_block",
    "norm_num_groups",
    "scaling_factor",
    "down_block_types",
    "up_block_types",
    "condition_img",
    "condition_channels",
)
_VAE_NO_EFFECT = (*_NO_EFFECT, "force_upcast", "use_temporal_block")
_VAE_FIXED: Mapping[str, tuple[Any, ...]] = {
    "act_fn": _ACTIVATIONS,
    "latents_mean": (None,),
    "latents_std": (None,),
    "mid_block_add_attention": (True,),
    "shift_factor": (None, 0),
    "use_post_quant_conv": (True,),
    "use_quant_conv": (True,),
}


def unet_fields(published: Mapping[str, Any], *, where: str) -> Fields:
    """Fields of `UNetVideoModel` for the config of a 2-D U-Net of diffusers, or of its video form.

    `where` names the file in errors. Raises ModelError for a field or value that is not known.
    """
    _check(published, read=_UNET_READ, no_effect=_UNET_NO_EFFECT, fixed=_UNET_FIXED, where=where)
    channels = list(_required(published, "block_out_channels", where))
    levels = len(channels)
    attention = _attention(published, levels, where)
    heads = published.get("num_attention_heads") or published.get("attention_head_dim", 8)
    temporal = list(published.get("down_temporal_idx", range(levels)))
    mirrored = sorted(levels - 1 - i for i in published.get("up_temporal_idx", range(levels)))
    if sorted(temporal) != mirrored:
        raise ModelError(
            f"{where}: down_temporal_idx = {temporal} and up_temporal_idx put temporal blocks on "
            "different levels; this U-Net has them on both sides of a level or on none"
        )
    return {
        "in_channels": _required(published, "in_channels", where),
        "out_channels": _required(published, "out_channels", where),
        "block_out_channels": channels,
        "layers_per_block": _per_level(published.get("layers_per_block", 2), levels),
        "num_heads": _per_level(heads, levels),
        "attention": attention,
        "cross_attention_dim": _required(published, "cross_attention_dim", where),
        "residual": [True] * levels,
        "temporal_blocks": [i in temporal for i in range(levels)],
        "mid_temporal_block": published.get("mid_temporal", True),
        "norm_groups": published.get("norm_num_groups", 32),
        "norm_eps": published.get("norm_eps", 1e-5),
        "num_class_embeds": _required(published, "num_class_embeds", where),
        "max_noise_level": published.get("max_noise_level", 350),
    }


def vae_fields(published: Mapping[str, Any], *, where: str) -> Fields:
    """Fields of `AutoencoderKLVideo` for the config of the x4 upscaler's VAE, or of a video one."""
    _check(published, read=_VAE_READ, no_effect=_VAE_NO_EFFECT, fixed=_VAE_FIXED, where=where)
    channels = list(_required(published, "block_out_channels", where))
    down, up = (_required(published, f"{way}_block_types", where) for way in ("down", "up"))
    _one_of(down, ("DownEncoderBlock2D", "DownEncoderBlock3D"), f"{where}: down_block_types")
    _one_of(
        up,
        ("UpDecoderBlock2D", "UpDecoderBlock3D", "UpDecoderBlock3D_plus"),
        f"{where}: up_block_types",
    )
    plus = {str(kind).endswith("_plus") for kind in up}
    if len(plus) > 1:
        raise ModelError(f"{where}: up_block_types = {list(up)}: all or none can be _plus blocks")
    return {
        "in_channels": published.get("in_channels", 3),
        "out_channels": published.get("out_channels", 3),
        "latent_channels": published.get("latent_channels", 4),
        "block_out_channels": channels,
        "layers_per_block": published.get("layers_per_block", 2),
        "norm_groups": published.get("norm_num_groups", 32),
        "temporal_kernel": [3, 3, 3] if plus == {True} else None,
        "condition_channels": (
            published.get("condition_channels", 128) if published.get("condition_img") else None
        ),
        "scaling_factor": published.get("scaling_factor", UPSCALER_SCALING_FACTOR),
    }


def _attention(published: Mapping[str, Any], levels: int, where: str) -> list[str]:
    """What the first attention of each level sees."""
    down, up = (list(_required(published, f"{way}_block_types", where)) for way in ("down", "up"))
    if len(down) != levels or len(up) != levels:
        raise ModelError(
            f"{where}: {levels} block_out_channels need as many down_block_types and "
            f"up_block_types, found {len(down)} and {len(up)}"
        )
    _one_of([*down, *up], _UNET_BLOCKS, f"{where}: block types")
    attends = [_UNET_BLOCKS[kind] for kind in down]
    if attends != [_UNET_BLOCKS[kind] for kind in reversed(up)]:
        raise ModelError(f"{where}: up_block_types = {up} do not mirror down_block_types = {down}")
    to_text = _per_level(published.get("only_cross_attention", False), levels)
    if attends[-1] and to_text[-1]:
        raise ModelError(
            f"{where}: only_cross_attention = {to_text}: the lowest level must attend to itself"
        )
    pairs = zip(attends, to_text, strict=True)
    return ["none" if not attend else "text" if text else "full" for attend, text in pairs]


_UNET_BLOCKS: Mapping[str, bool] = {
    "DownBlock2D": False,
    "DownBlock3D": False,
    "UpBlock2D": False,
    "UpBlock3D": False,
    "CrossAttnDownBlock2D": True,
    "CrossAttnDownBlock3D": True,
    "CrossAttnUpBlock2D": True,
    "CrossAttnUpBlock3D": True,
}


def _check(
    published: Mapping[str, Any],
    *,
    read: Sequence[str],
    no_effect: Sequence[str],
    fixed: Mapping[str, tuple[Any, ...]],
    where: str,
) -> None:
    known = [*read, *no_effect, *fixed]
    for key, value in published.items():
        if key not in known:
            raise ModelError(f"{where}: unknown field {key}{nearest(key, known)}")
        if key in fixed and value not in fixed[key]:
            allowed = " or ".join(str(one) for one in fixed[key])
            raise ModelError(f"{where}: {key} = {value}; this network can be built with {allowed}")


def _one_of(kinds: Sequence[str], allowed: Sequence[str] | Mapping[str, Any], what: str) -> None:
    for kind in kinds:
        if kind not in allowed:
            raise ModelError(f"{what}: {kind} is not known; allowed are {', '.join(allowed)}")


def _per_level(value: Any, levels: int) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value] * levels


def _required(published: Mapping[str, Any], key: str, where: str) -> Any:
    if published.get(key) is None:
        raise ModelError(f"{where}: {key} is missing")
    return published[key]
