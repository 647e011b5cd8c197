"""A tiny image-to-text model."""

from pathlib import Path

import torch

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]"]
WORDS = [*SPECIAL, "a", "the", "dog", "sky", "house", "red", "blue"]


def save_blip(folder: Path) -> Path:
    """A whole BLIP of 16 channels that knows fourteen words."""
    from transformers import (  # fmt: skip
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    common = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }  # fmt: skip
    text = {
        "vocab_size": len(WORDS), "encoder_hidden_size": 16, "max_position_embeddings": 32,
        "bos_token_id": 5, "eos_token_id": 3, "pad_token_id": 0, "sep_token_id": 3,
    }  # fmt: skip
    vision = {"image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    config = BlipConfig(text_config=common | text, vision_config=common | vision, projection_dim=16)
    BlipForConditionalGeneration(config).save_pretrained(folder)
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(WORDS)})
    size = {"height": 32, "width": 32}
    BlipProcessor(BlipImageProcessor(size=size), tokenizer).save_pretrained(folder)
    return folder
