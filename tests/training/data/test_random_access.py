import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vsr.errors import DependencyError, InputError
from vsr.training.data.random_access import read_part


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds at 10 frames/s, each frame of a grey of its own, B-frames among them."""
    path = tmp_path_factory.mktemp("access") / "greys.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(10), options={"g": "12", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(30):
            pixels = np.full((48, 64, 3), 20 + 7 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("start", "seconds"), [(0.0, 0.5), (1.05, 0.7), (2.5, 9.0)])
def test_decord_and_av_give_the_same_frames(video: Path, start: float, seconds: float) -> None:
    pytest.importorskip("decord")
    plain = list(read_part(video, start=start, seconds=seconds, access="av"))
    quick = list(read_part(video, start=start, seconds=seconds, access="decord"))
    assert [f.seconds for f in quick] == pytest.approx([f.seconds for f in plain], abs=1e-5)
    for a, b in zip(plain, quick, strict=True):
        assert np.abs(a.pixels.astype(int) - b.pixels).max() <= 3  # two colour converters


def test_a_missing_decord_names_its_extra(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(DependencyError, match=r"\.\[train\].*data.reader=av"):
        next(read_part(video, start=0, seconds=1, access="decord"))


def test_a_file_that_is_no_video_is_an_input_error(tmp_path: Path) -> None:
    pytest.importorskip("decord")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(InputError, match=r"text\.mp4 cannot be read"):
        next(read_part(tmp_path / "text.mp4", start=0, seconds=1, access="decord"))
