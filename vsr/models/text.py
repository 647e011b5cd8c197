"""Embeddings of prompts, for models that attend to text."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


@torch.no_grad()
def embed_prompt(text_encoder: Any, tokenizer: Any, prompt: str) -> Float[Tensor, "1 n d"]:
    """Returns the last hidden states of a CLIP text encoder for `prompt`, padded or truncated."""
    tokens = tokenizer(
        [prompt],
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    return text_encoder(tokens.input_ids.to(text_encoder.device))[0]
