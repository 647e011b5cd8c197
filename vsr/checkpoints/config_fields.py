"""The config files of the published networks, read into the fields of ours.

Any field that is not known is refused, so that no checkpoint loads into a network that it was not
made for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from vsr.checkpoints.published import (
    UNET_BLOCKS,
    UNET_FIXED,
    UNET_NO_EFFECT,
    UNET_READ,
    UPSCALER_SCALING_FACTOR,
    VAE_FIXED,
    VAE_NO_EFFECT,
    VAE_READ,
)
from vsr.errors import ModelError
from vsr.option_values import nearest

Fields = dict[str, Any]


def unet_fields(published: Mapping[str, Any], *, where: str) -> Fields:
    """Fields of `UNetVideoModel` for the config of a 2-D U-Net of diffusers, or of its video form.

    `where` names the file in errors. Raises ModelError for a field or value that is not known.
    """
    _check(published, read=UNET_READ, no_effect=UNET_NO_EFFECT, fixed=UNET_FIXED, where=where)
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
    _check(published, read=VAE_READ, no_effect=VAE_NO_EFFECT, fixed=VAE_FIXED, where=where)
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
    """The first attention of each level."""
    down, up = (list(_required(published, f"{way}_block_types", where)) for way in ("down", "up"))
    if len(down) != levels or len(up) != levels:
        raise ModelError(
            f"{where}: {levels} block_out_channels need as many down_block_types and "
            f"up_block_types, found {len(down)} and {len(up)}"
        )
    _one_of([*down, *up], UNET_BLOCKS, f"{where}: block types")
    attends = [UNET_BLOCKS[kind] for kind in down]
    if attends != [UNET_BLOCKS[kind] for kind in reversed(up)]:
        raise ModelError(f"{where}: up_block_types = {up} do not mirror down_block_types = {down}")
    to_text = _per_level(published.get("only_cross_attention", False), levels)
    if attends[-1] and to_text[-1]:
        raise ModelError(
            f"{where}: only_cross_attention = {to_text}: the lowest level must attend to itself"
        )
    pairs = zip(attends, to_text, strict=True)
    return ["none" if not attend else "text" if text else "full" for attend, text in pairs]


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
