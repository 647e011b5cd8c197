"""Manifests that are folders of parts."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from vsr.errors import DependencyError, InputError
from vsr.training.data import manifest_file
from vsr.training.data.clip_row import ClipRow
from vsr.training.data.manifest import (
    Manifest,
    open_manifest,
    read_manifest,
    write_manifest,
    write_part,
    write_rows,
)

parquet = pytest.importorskip("pyarrow.parquet")

ROWS = [ClipRow(f"{number:03d}.png", "image", "train", 1, 2, 30, 20) for number in range(10)]


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsr.training.data.manifest_file.GROUP_ROWS", 4)
    monkeypatch.setattr("vsr.training.data.manifest.GROUP_ROWS", 4)


def part(folder: Path, number: int, rows: Sequence[ClipRow], root: Path | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    return write_part(folder, number, rows, root=root or folder.parent)


def test_a_name_without_the_suffix_is_a_folder_of_parts(tmp_path: Path) -> None:
    write_rows(tmp_path / "clips", ROWS, root=tmp_path / "media")
    names = [path.name for path in sorted((tmp_path / "clips").iterdir())]
    assert names == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    found = read_manifest(tmp_path / "clips")
    assert found == Manifest(tmp_path / "clips" / ".." / "media", tuple(ROWS))
    assert len(open_manifest(tmp_path / "clips")) == 10


def test_a_part_is_a_manifest_of_its_own_and_the_folder_may_move(tmp_path: Path) -> None:
    (tmp_path / "here" / "media").mkdir(parents=True)
    write_rows(tmp_path / "here" / "clips", ROWS, root=tmp_path / "here" / "media")
    (tmp_path / "here").rename(tmp_path / "there")
    found = open_manifest(tmp_path / "there" / "clips" / "part-00001.parquet")
    assert found.root.resolve() == tmp_path / "there" / "media"
    assert list(found) == ROWS[4:8]


def test_file_and_folder_hold_the_same_rows(tmp_path: Path) -> None:
    for name in ("clips", "clips.parquet"):
        write_rows(tmp_path / name, ROWS, root=tmp_path)
    assert list(open_manifest(tmp_path / "clips")) == list(
        open_manifest(tmp_path / "clips.parquet")
    )


def test_parts_are_merged_by_the_names_of_their_clips(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    part(folder, 0, ROWS[::2])
    part(folder, 1, ROWS[1::2])
    part(folder, 2, [dataclasses.replace(ROWS[0], source="000.jpg")])
    assert [row.source for row in open_manifest(folder)][:3] == ["000.jpg", "000.png", "001.png"]
    assert [row.source for row in open_manifest(folder)][1:] == [row.source for row in ROWS]


def test_memory_holds_the_groups_that_overlap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path / "clips.parquet", ROWS, root=tmp_path)
    read: list[int] = []
    real = manifest_file.read_group
    monkeypatch.setattr(
        "vsr.training.data.manifest.read_group",
        lambda group: (read.append(group.number), real(group))[1],
    )
    rows = iter(open_manifest(tmp_path / "clips.parquet"))
    assert next(rows) == ROWS[0]
    assert read == [0]
    assert list(rows) == ROWS[1:]
    assert read == [0, 1, 2]


def test_two_parts_with_the_same_clip_are_named(tmp_path: Path) -> None:
    part(tmp_path / "clips", 0, ROWS[:5])
    part(tmp_path / "clips", 1, ROWS[4:])
    message = r"part-00000\.parquet and .*part-00001\.parquet both have the clip 004\.png#0-1; rem"
    with pytest.raises(InputError, match=message):
        read_manifest(tmp_path / "clips")


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    write_rows(tmp_path / "clips", ROWS, root=tmp_path)
    path = tmp_path / "clips" / "part-00001.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"part-00001\.parquet is not a parquet file"):
        open_manifest(tmp_path / "clips")
    path.write_bytes(whole[:4] + b"\xff" * 200 + whole[204:])  # the footer is whole
    stored = open_manifest(tmp_path / "clips")
    with pytest.raises(InputError, match=r"part-00001\.parquet is damaged: [^\n]*; restore it"):
        list(stored)


def test_parts_below_different_folders_are_named(tmp_path: Path) -> None:
    part(tmp_path / "clips", 0, ROWS[:5], tmp_path / "a")
    part(tmp_path / "clips", 1, ROWS[5:], tmp_path / "b")
    with pytest.raises(InputError, match=r"part-00000\.parquet has clips below .*a, but .*below"):
        open_manifest(tmp_path / "clips")
    assert open_manifest(tmp_path / "clips", root=tmp_path).root == tmp_path


def test_a_folder_without_parts_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no parts of a manifest"):
        open_manifest(tmp_path)


def test_a_manifest_without_rows_keeps_its_root(tmp_path: Path) -> None:
    for name in ("clips", "clips.parquet"):
        write_manifest(tmp_path / name, Manifest(tmp_path / "media", ()))
        assert read_manifest(tmp_path / name).root.resolve() == tmp_path / "media"


def test_a_missing_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rows(tmp_path / "clips.parquet", ROWS, root=tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DependencyError, match=r"pyarrow, which is not installed: pip install"):
        open_manifest(tmp_path / "clips.parquet")
