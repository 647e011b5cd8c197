"""`vsr compare`: its files, its page, and one line for each bad input."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.reporting.films import film
from vsr.cli import main
from vsr.errors import ConfigError, InputError
from vsr.reporting.compare import compare, parse_crop
from vsr.reporting.films import Films
from vsr.reporting.pictures import crops_of_difference
from vsr.reporting.sheets import side_by_side
from vsr.video.images import encode_png, read_image
from vsr.video.probe import probe
from vsr.video.reading.reader import VideoReader
from vsr.video.writing.encoders import EncoderSettings
from vsr.video.writing.output_file import write_video


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
    with VideoReader(tmp_path / "out" / "compare.mp4") as reader:
        assert next(reader).pixels.shape == (96 + 28, 256, 3)
    assert "shown enlarged to 128x96 by bicubic" in caplog.text


def test_other_frame_counts_are_one_line_and_leave_no_video(tmp_path: Path) -> None:
    films = [film(tmp_path / "a"), film(tmp_path / "b", frames=3)]
    with pytest.raises(InputError, match=r"has 3 frames but .* has more"):
        compare(films, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_one_film_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only one film is given; 2 to 8 can be compared"):
        compare([film(tmp_path / "a")], tmp_path / "out")


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


def test_the_picture_holds_the_films_and_their_crops(tmp_path: Path) -> None:
    compare([film(tmp_path / "a"), film(tmp_path / "b", spot=True)], tmp_path / "out")
    height, width, _ = read_image(tmp_path / "out" / "compare.png").shape
    assert width == 480 + 8 + 480
    assert height == (28 + 360) + 8 + 360  # a crop of 16x12, 30 times as large


def test_pictures_beyond_the_widest_video_shrink() -> None:
    wide = [np.zeros((100, 3000, 3), np.uint8)] * 2
    assert side_by_side(wide, ["A", "B"]).shape == (28 + 64, 3840, 3)


def test_five_films_stand_in_rows() -> None:
    five = [np.zeros((90, 160, 3), np.uint8)] * 5
    assert side_by_side(five, list("ABCDE")).shape == (2 * (28 + 90), 3 * 160, 3)


def test_motion_is_shown_at_the_first_frame_too(tmp_path: Path) -> None:
    films = [film(tmp_path / "a"), film(tmp_path / "b")]
    page = compare(films, tmp_path / "out", frame=0).page.read_text()
    assert "Motion to the frame after" in page
    page = compare(films, tmp_path / "out", frame=2).page.read_text()
    assert "Motion from the frame before" in page


def test_films_of_one_frame_have_no_motion(tmp_path: Path) -> None:
    films = [film(tmp_path / "a", frames=1), film(tmp_path / "b", frames=1)]
    assert "Motion" not in compare(films, tmp_path / "out").page.read_text()


def test_wide_pixels_stay_as_stored_and_are_stretched_by_player_and_page(tmp_path: Path) -> None:
    source = film(tmp_path / "a")
    wide = tmp_path / "wide.mp4"
    info = replace(probe(source), sample_aspect_ratio=Fraction(4, 3))
    with VideoReader(source) as reader:
        frames = [(one.pixels, one.pts) for one in reader]
    write_video(frames, wide, source=info, size=(64, 48), settings=EncoderSettings())
    page = compare([wide, film(tmp_path / "b")], tmp_path / "out").page.read_text()
    assert 'data-stretch="1.33333"' in page
    assert probe(tmp_path / "out" / "compare.mp4").sample_aspect_ratio == Fraction(4, 3)


def test_a_film_of_another_shape_is_shown_with_bars(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    square = tmp_path / "square"
    square.mkdir()
    for number in range(4):
        picture = np.full((40, 40, 3), 200, np.uint8)
        (square / f"{number}.png").write_bytes(encode_png(picture))
    films = Films.open([film(tmp_path / "a"), square])
    assert "another aspect ratio" in caplog.text
    shown = next(films.frames())[1][1]
    assert shown.shape == (48, 64, 3)
    assert not shown[:, :8].any() and not shown[:, -8:].any() and shown[:, 8:-8].all()
