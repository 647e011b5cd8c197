"""Tags in old code pages keep their bytes, and are shown without a trace."""

from pathlib import Path

import pytest

from vsr.video.container import printable
from vsr.video.probe import probe
from vsr.video.reading.reader import VideoReader
from vsr.video.writing.encoders import EncoderSettings
from vsr.video.writing.output_file import write_video

TITLE, CYRILLIC = "TITLE in seven bits", "Матрица: перезагрузка".encode("cp1251")[:19]


@pytest.fixture
def tagged(make_video, tmp_path) -> Path:
    """A video with a title in code page 1251."""
    path = make_video("source.mkv", metadata={"title": TITLE})
    content = path.read_bytes()
    assert content.count(TITLE.encode()) == 1
    path.write_bytes(content.replace(TITLE.encode(), CYRILLIC))
    return path


def test_a_tag_in_a_code_page_is_shown_with_marks(tagged):
    str(probe(tagged)).encode()
    assert probe(tagged).metadata["title"].encode(errors="surrogateescape") == CYRILLIC
    assert printable("a\udcccb") == "a\ufffdb"
    assert printable("Матрица") == "Матрица"


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_tag_in_a_code_page_keeps_its_bytes(tagged, tmp_path, suffix):
    source, target = probe(tagged), tmp_path / f"target{suffix}"
    with VideoReader(source) as reader:
        frames = [(frame.pixels, frame.pts) for frame in reader]
    size = (source.width, source.height)
    write_video(frames, target, source=source, size=size, settings=EncoderSettings())
    assert CYRILLIC in target.read_bytes()
    assert probe(target).metadata["title"] == source.metadata["title"]
