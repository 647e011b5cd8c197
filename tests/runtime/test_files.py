"""Files and folders appear complete or not at all, whatever they replace."""

from pathlib import Path

import pytest

from vsr.runtime.files import (
    append_lines,
    atomic_file,
    atomic_folder,
    atomic_new_folder,
    current_folder,
    write_atomically,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_replaces_the_one_before_it(tmp_path: Path) -> None:
    for content in (b"old", b"new"):
        write_atomically(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert names(tmp_path) == ["file"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", b"old")
    with pytest.raises(RuntimeError), atomic_file(tmp_path / "file") as partial:
        partial.write_bytes(b"half")
        raise RuntimeError
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_folder_replaces_the_one_before_it_whole(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with atomic_folder(tmp_path / "folder") as partial:
            (partial / "inner").mkdir()
            (partial / "inner" / name).touch()
    assert names(tmp_path / "folder" / "inner") == ["new"]
    assert names(tmp_path) == ["folder"]


def test_an_error_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "folder") as partial:
        (partial / "old").touch()
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "folder") as partial:
        raise RuntimeError
    assert names(tmp_path / "folder") == ["old"]
    assert names(tmp_path) == ["folder"]


def test_a_new_folder_gives_way_to_that_of_a_faster_process(tmp_path: Path) -> None:
    with atomic_new_folder(tmp_path / "folder") as partial:
        (partial / "slow").touch()
        with atomic_folder(tmp_path / "made") as other:
            (other / "fast").touch()
        (tmp_path / "made").rename(tmp_path / "folder")
    assert names(tmp_path / "folder") == ["fast"]
    assert names(tmp_path) == ["folder"]


def test_a_folder_that_was_set_aside_when_the_process_died_is_found(tmp_path: Path) -> None:
    (tmp_path / ".replaced_folder").mkdir()
    assert current_folder(tmp_path / "folder") == tmp_path / ".replaced_folder"


def test_a_torn_line_is_ended_before_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b'{"a": 1}\n{"b"')
    append_lines(path, "{}", "[]")
    assert path.read_bytes() == b'{"a": 1}\n{"b"\n{}\n[]\n'


def test_a_journal_is_not_created_by_an_append(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        append_lines(tmp_path / "journal", "{}")
