import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.training.data.test_samples import texture
from tests.training.preparation.blip import WORDS, save_blip
from vsr.errors import ModelError
from vsr.training.data.clip_row import ClipRow
from vsr.training.data.manifest import Manifest, read_manifest, write_manifest

pytest.importorskip("transformers")
pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_blip(tmp_path_factory.mktemp("blip"))


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
