"""Awkward inputs go through `vsr plan` and `vsr upscale`: an output or a line, never a trace."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.jobs.resume.kills import make_film
from tests.video.test_stills import picture
from tests.video.writing.test_animation import animation
from tools.trials import Trial, trial

MODEL = "realesr-animevideov3"


def folder_of(paths: Path, name: str) -> Path:
    folder = paths / name
    folder.mkdir()
    return folder


def inputs(folder: Path) -> None:
    """Pictures, folders, animations, lists and broken files, small ones."""
    picture(folder / "scan.dpx", "dpx", "gbrp10le")
    picture(folder / "scan.jp2", "jpeg2000", "rgb48le")
    picture(folder / "web.ppm", "ppm", "rgb24")
    picture(folder / "web.tga", "targa", "bgr24")
    picture(folder / "deep.png", "png", "rgb48be")
    picture(folder / "grey.png", "png", "gray16be")
    scans = folder_of(folder, "Show.S01E01")
    for number in (7, 8, 10):
        picture(scans / f"{number}.dpx", "dpx", "gbrp10le")
    clear = folder_of(folder, "rgba")
    cv2.imwrite(str(clear / "1.png"), np.full((24, 32, 4), 90, np.uint8))
    animation(folder / "slides.gif", plays=0, delays=(4, 9, 200))
    films = folder_of(folder, "films")
    make_film(films / "a.mp4", (3,))
    (films / "poster.jpg").write_bytes(cv2.imencode(".jpg", np.zeros((9, 9, 3), np.uint8))[1])
    (folder / "empty.mkv").touch()
    (folder / "text.mp4").write_text("no film")


@pytest.mark.slow
def test_awkward_inputs_give_an_output_or_a_line(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "trials")
    inputs(folder)
    found = {path.name: trial(path, MODEL) for path in sorted(folder.iterdir())}
    assert [name for name, one in found.items() if one.is_failed] == []
    refused = {name for name, one in found.items() if one.upscale.code}
    assert refused == {"empty.mkv", "text.mp4"}
    assert all(_has_one_error(found[name]) for name in refused)


def _has_one_error(one: Trial) -> bool:
    return sum(line.startswith("vsr: error: ") for line in one.upscale.lines) == 1
