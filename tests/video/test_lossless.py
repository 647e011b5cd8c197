"""Lossless sources, by their codec or by their bits."""

from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from vsr.video.lossless import is_lossless
from vsr.video.probe import probe


def written(path: Path, codec: str, options: dict[str, str], size: int = 256) -> Path:
    """Five frames of fine noise with values below `size`."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, width=64, height=48, options=options)
        stream.pix_fmt = "yuv444p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(
                rng.integers(0, size, (48, 64, 3), np.uint8), "rgb24"
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("codec", "options", "lossless"),
    [
        ("ffv1", {}, True),
        ("libx264", {"qp": "0"}, True),
        ("libx264", {"crf": "40"}, False),
    ],
)
def test_a_video_is_lossless_by_its_codec_or_its_bits(
    tmp_path: Path, codec: str, options: dict[str, str], lossless: bool
) -> None:
    size = 256 if lossless else 16
    info = probe(written(tmp_path / "clip.mkv", codec, options, size))
    assert is_lossless(info) is lossless


def test_nothing_is_known_of_an_unknown_codec_or_a_lossy_one_without_a_count(tmp_path: Path):
    info = probe(written(tmp_path / "clip.mkv", "libx264", {"qp": "0"}))
    assert not is_lossless(replace(info, codec="none of these"))
    assert not is_lossless(replace(info, frame_count=None))


@pytest.mark.parametrize(("suffix", "lossless"), [(".png", True), (".jpg", False)])
def test_pictures_are_lossless_by_their_format(tmp_path: Path, suffix: str, lossless: bool):
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"{i}{suffix}"), np.zeros((48, 64, 3), np.uint8))
    assert is_lossless(probe(tmp_path)) is lossless
