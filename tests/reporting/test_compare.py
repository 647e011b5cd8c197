"""`vsr compare`: its files, its page, and one line for each bad input."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from vsr.cli import main
from vsr.errors import ConfigError, InputError
from vsr.reporting.compare import compare, parse_crop
from vsr.reporting.pictures import crops_of_difference
from vsr.video.images import encode_png, read_image
from vsr.video.reading.reader import VideoReader


def film(folder: Path, *, frames: int = 4, scale: int = 1, spot: bool = False) -> Path:
    """A folder of pictures of 64x48 times `scale`; `spot` brightens a corner of frame 2."""
    folder.mkdir()
    for number in range(frames):
        rows, columns = np.mgrid[: 48 * scale, : 64 * scale]
        gray = 100 + 50 * np.sin((columns / scale + number) / 5 + rows / scale / 7)
        if spot and number == 2:
            gray[36 * scale :, 48 * scale :] += 90
        picture = np.repeat(gray[..., None], 3, axis=2).astype(np.uint8)
        (folder / f"{number}.png").write_bytes(encode_png(picture))
    return folder


def test_the_frame_and_the_place_that_differ_most_are_found(tmp_path: Path) -> None:
    films = [film(tmp_path / "a"), film(tmp_path / "b", spot=True)]
    assert compare(films, tmp_path / "out").frame == 2
    pictures = [np.asarray(read_image(one / "2.png"), np.uint8) for one in films]
    assert crops_of_difference(pictures) == [(48, 36, 16, 12)]


def test_the_video_has_every_frame_beside_each_other(tmp_path: Path) -> None:
    compare([film(tmp_path / "a"), film(tmp_path / "b")], tmp_path / "out")
    with VideoReader(tmp_path / "out" / "compare.mp4") as reader:
        shapes = [frame.pixels.shape for frame in reader]
    assert shapes == [(48 + 28, 128, 3)] * 4


def test_a_smaller_film_is_enlarged_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    compare([film(tmp_path / "a"), film(tmp_path / "b", scale=2)], tmp_path / "out")
    assert read_image(tmp_path / "out" / "compare.png").shape == (96 + 28, 256, 3)
    assert "shown enlarged to 128x96 by bicubic" in caplog.text


def test_other_frame_counts_are_one_line_and_leave_no_video(tmp_path: Path) -> None:
    films = [film(tmp_path / "a"), film(tmp_path / "b", frames=3)]
    with pytest.raises(InputError, match=r"has 3 frames but .* has more"):
        compare(films, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_frame_past_the_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="frame 9 does not exist: the films have 4 frames"):
        compare([film(tmp_path / "a"), film(tmp_path / "b")], tmp_path / "out", frame=9)


def test_a_crop_outside_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not lie inside the 64x48"):
        compare([film(tmp_path / "a"), film(tmp_path / "b")], tmp_path / "out", crop=(60, 0, 8, 8))


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "-1,0,4,4", ""])
def test_a_crop_is_four_whole_numbers(text: str) -> None:
    with pytest.raises(ConfigError, match="X,Y,W,H"):
        parse_crop(text)


def test_a_file_that_is_no_video_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    films = [str(film(tmp_path / "a")), str(tmp_path / "text.mp4")]
    assert main(["compare", *films, "--output", str(tmp_path / "out")]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_the_page_loads_nothing_and_names_every_picture(tmp_path: Path) -> None:
    films = [film(tmp_path / "a & b"), film(tmp_path / "b")]
    page = compare(films, tmp_path / "out").page.read_text()
    assert "http" not in page
    assert "a &amp; b" in page
    assert page.count("<img ") == page.count('<img src="data:image/png;base64,')
    assert page.count("<img ") == page.count('" alt="')


def test_the_page_shows_its_slider_in_a_browser(tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed")
    page = compare([film(tmp_path / "a"), film(tmp_path / "b")], tmp_path / "out").page
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/user"]
    done = subprocess.run(
        [browser, *options, "--dump-dom", page.as_uri()],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert 'class="after"' in done.stdout
    assert "inset(0px 0px 0px 50%)" in done.stdout
