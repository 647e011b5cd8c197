"""Pictures of a folder belong to frames by number or by time; a folder without any is refused."""

from pathlib import Path

import pytest

from vsr.errors import InputError
from vsr.video.key_pictures import KeyPictures


def test_a_folder_without_pictures_that_fit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "cover.png").write_bytes(b"")
    with pytest.raises(InputError, match="named by a frame"):
        KeyPictures(tmp_path)


@pytest.mark.parametrize("name", ["000900.png", "00-05-00.png"])
def test_pictures_of_another_film_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    pictures = KeyPictures(tmp_path)
    with pytest.raises(InputError, match=r"of this film, 75 frames, 3.0 s: name them"):
        pictures.check_within(frames=75, seconds=3.0)
    pictures.check_within(frames=None, seconds=None)


def test_one_picture_that_fits_is_enough(tmp_path: Path) -> None:
    for name in ("000900.png", "000074.png"):
        (tmp_path / name).write_bytes(b"")
    KeyPictures(tmp_path).check_within(frames=75, seconds=3.0)
