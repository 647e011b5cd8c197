"""Lists of films as people and programs write them: marks, quotes, comments, concat lists."""

from pathlib import Path

import pytest

from vsr.errors import InputError
from vsr.jobs.film_list import listed_films


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "list.txt").write_text("köln.mp4\r\nb.mkv\r\n", encoding=encoding)
    assert [path.name for path in listed_films(tmp_path / "list.txt")] == ["köln.mp4", "b.mkv"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('"a b.mp4"', "a b.mp4"),
        ("'a.mp4'", "a.mp4"),
        ("file 'a.mp4'", "a.mp4"),
        ("  a.mp4  ", "a.mp4"),
        ("file a.mp4", "file a.mp4"),
        ("it's.mp4", "it's.mp4"),
        ("sub/a.mp4", "sub/a.mp4"),
    ],
)
def test_quotes_and_lines_of_concat_lists(tmp_path: Path, line: str, name: str) -> None:
    (tmp_path / "list.txt").write_text(f"# mine\n\n{line}\n")
    assert listed_films(tmp_path / "list.txt") == [tmp_path / name]


def test_a_name_that_comes_twice_counts_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "list.txt").write_text("a.mp4\nb.mp4\n'a.mp4'\n")
    assert len(listed_films(tmp_path / "list.txt")) == 2
    assert "names a.mp4 twice: it is upscaled once" in caplog.text


def test_a_list_in_another_encoding_is_explained(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("köln.mp4".encode("cp1252"))
    with pytest.raises(InputError, match="save it as text in UTF-8"):
        listed_films(tmp_path / "list.txt")
