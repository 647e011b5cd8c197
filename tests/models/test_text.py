"""Prompts become the last hidden states of a real, small text encoder."""

import json

import pytest
import torch

from vsr.models.text import embed_prompt

transformers = pytest.importorskip("transformers")

LENGTH = 6


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    words = ["<|startoftext|>", "<|endoftext|>", "a</w>", "c", "a", "t</w>", "ca", "cat</w>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\nc a\nca t</w>\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": LENGTH}))
    return transformers.CLIPTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def encoder(tokenizer):
    torch.manual_seed(0)
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return transformers.CLIPTextModel(config).eval()


@pytest.mark.parametrize("prompt", ["", "a cat", "a cat " * 20])
def test_every_prompt_has_the_length_of_the_encoder(encoder, tokenizer, prompt):
    assert embed_prompt(encoder, tokenizer, prompt).shape == (1, LENGTH, 8)


@torch.no_grad()
def test_embeddings_are_the_last_hidden_states_of_the_padded_tokens(encoder, tokenizer):
    # start, a, cat, end, and the end again as padding
    tokens = torch.tensor([[0, 2, 7, 1, 1, 1]])
    expected = encoder(tokens).last_hidden_state
    torch.testing.assert_close(embed_prompt(encoder, tokenizer, "a cat"), expected)
