import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.training.data.test_samples import texture
from vsr.errors import ModelError
from vsr.training.data.clip_row import ClipRow
from vsr.training.data.manifest import Manifest, read_manifest, write_manifest

transformers = pytest.importorskip("transformers")
pytest.importorskip("pyarrow")

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]"]
WORDS = [*SPECIAL, "a", "the", "dog", "sky", "house", "red", "blue"]


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole BLIP of 16 channels that knows fourteen words."""
    from transformers import (  # fmt: skip
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    folder = tmp_path_factory.mktemp("blip")
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


def test_kept_clips_without_a_caption_get_one(
    blip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from vsr.training.preparation.commands import caption as script

    row = ClipRow("0.png", "image", "train", 0, 0, 60, 40)
    rows = (
        row,
        dataclasses.replace(row, source="1.png", kept=False, reason="blurred"),
        dataclasses.replace(row, source="2.png", caption="my own"),
    )
    for each in rows:
        cv2.imwrite(str(tmp_path / each.source), texture(40, 60, 1))
    path = tmp_path / "clips.parquet"
    write_manifest(path, Manifest(tmp_path, rows))
    assert script.main([str(path), "--model", str(blip), "--max-tokens", "6"]) == 0
    made, unkept, own = (each.caption for each in read_manifest(path).rows)
    assert (unkept, own) == (None, "my own")
    assert made
    assert set(made.split()) <= set(WORDS)
    assert "2 of 3 clips have a caption" in capsys.readouterr().out
    before = path.read_bytes()
    assert script.main([str(path), "--model", str(blip), "--max-tokens", "6"]) == 0
    assert path.read_bytes() == before


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    from vsr.training.preparation.captions import Captioner

    with pytest.raises(ModelError, match="is no image-to-text model that loads"):
        Captioner(tmp_path)


def test_a_caption_is_the_same_each_time(blip: Path) -> None:
    from vsr.training.preparation.captions import Captioner

    captioner = Captioner(blip, max_tokens=5)
    picture = np.asarray(texture(40, 60, 2))
    assert captioner(picture) == captioner(picture)
