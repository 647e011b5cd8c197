"""Facts of the published checkpoints: names of files, schedules, and the fields of their configs.

A field of a config is read (`..._READ`), has no effect, or must have one of the values that our
networks compute by (`..._FIXED`).
"""

from collections.abc import Mapping
from typing import Any

UPSCALER_SCALING_FACTOR = 0.08333
"""The scale of latents in Stable Diffusion's x4 upscaler and every network inflated from it."""
WEIGHTS = "diffusion_pytorch_model"
"""The name of a network's file of weights in a diffusers folder, without its ending."""
RAFT_WEIGHTS = "propagator/raft-things.pth"
"""The file of Upscale-A-Video's flow network."""
TEXT_PARTS = {"text_encoder": "CLIPTextModel", "tokenizer": "CLIPTokenizer"}
"""The classes of transformers that the parts for text are of."""

NOISE: Mapping[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 1e-4,
    "beta_end": 0.02,
}
"""The noise schedule of Stable Diffusion's x4 upscaler, for folders without schedulers."""
DDIM: Mapping[str, Any] = {
    **NOISE,
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
"""The same as the config of its solver."""

_NO_EFFECT = ("_class_name", "_diffusers_version", "_name_or_path", "sample_size")
_ACTIVATIONS = ("silu", "swish")

UNET_READ = (
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
UNET_NO_EFFECT = (
    *_NO_EFFECT,
    "use_linear_projection",  # a 1x1 convolution is a linear layer of another shape
    "upcast_attention",  # a number format, which the caller chooses here
    "dropout",  # of training
    "addition_embed_type_num_heads",  # of an embedding that must be absent
    "video_condition",  # LaVie's: conditions of other tasks
)
UNET_FIXED: Mapping[str, tuple[Any, ...]] = {
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

VAE_READ = (
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
VAE_NO_EFFECT = (*_NO_EFFECT, "force_upcast", "use_temporal_block")
VAE_FIXED: Mapping[str, tuple[Any, ...]] = {
    "act_fn": _ACTIVATIONS,
    "latents_mean": (None,),
    "latents_std": (None,),
    "mid_block_add_attention": (True,),
    "shift_factor": (None, 0),
    "use_post_quant_conv": (True,),
    "use_quant_conv": (True,),
}

UNET_BLOCKS: Mapping[str, bool] = {
    "DownBlock2D": False,
    "DownBlock3D": False,
    "UpBlock2D": False,
    "UpBlock3D": False,
    "CrossAttnDownBlock2D": True,
    "CrossAttnDownBlock3D": True,
    "CrossAttnUpBlock2D": True,
    "CrossAttnUpBlock3D": True,
}
"""Names of U-Net blocks; True for those with transformers."""
