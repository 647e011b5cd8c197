import dataclasses
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.training.data.test_samples import texture
from vsr.errors import ConfigError, InputError
from vsr.training.data.clip_row import ClipRow, hashed_split
from vsr.training.data.manifest import Manifest, read_manifest, write_manifest
from vsr.training.data.manifest_file import SCHEMA_VERSION
from vsr.training.data.samples import TrainingClips, TrainingClipsConfig

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

PICTURE = ClipRow("a/1.png", "image", "train", 10, 20, 300, 260)
SHOT = ClipRow(
    "b/film.mkv",
    "video",
    "validation",
    10,
    20,
    160,
    120,
    first_frame=15,
    end_frame=24,
    start=Fraction(1001, 800),
    end=Fraction(2),
    rate=Fraction(24000, 1001),
    motion=3.5,
    sharpness=12.0,
    bar_top=8,
    bar_bottom=8,
    bar_left=0,
    bar_right=2,
    text=0.01,
    phash="00ff00ff00ff00ff",
    caption="a film",
    kept=False,
    reason="too short",
)


def written(path: Path, *rows: ClipRow, root: Path | None = None) -> Path:
    write_manifest(path, Manifest(root or path.parent, rows))
    return path


def test_a_manifest_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = written(tmp_path / "clips.parquet", SHOT, PICTURE)
    found = read_manifest(path)
    assert found.rows == (PICTURE, SHOT)
    assert found.path(PICTURE) == tmp_path / "a" / "1.png"


def test_the_same_rows_give_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    one = written(tmp_path / "one.parquet", SHOT, PICTURE).read_bytes()
    assert written(tmp_path / "two.parquet", PICTURE, SHOT).read_bytes() == one


def test_a_root_beside_the_manifest_moves_with_it(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    written(tmp_path / "here" / "clips.parquet", PICTURE, root=tmp_path / "here" / "media")
    (tmp_path / "here").rename(tmp_path / "there")
    found = read_manifest(tmp_path / "there" / "clips.parquet")
    assert found.root == tmp_path / "there" / "media"


def test_bars_are_taken_off_the_picture_size() -> None:
    assert SHOT.picture_size == (158, 104)
    assert PICTURE.picture_size == (300, 260)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "/absolute.mp4"}, "column source is '/absolute.mp4'.*below the root"),
        ({"source": "../up.mp4"}, "column source"),
        ({"width": 0}, "column width"),
        ({"end_frame": 15}, "column end_frame is 15; it must be above first_frame"),
        ({"end": Fraction(1)}, "column end is .*later than start"),
        ({"rate": Fraction(0)}, "column rate"),
        ({"bar_top": 112}, "column bar_bottom"),
        ({"bar_left": -1}, "bar_top to bar_right"),
    ],
)
def test_a_value_that_cannot_be_names_its_column(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(SHOT, **change)


def test_a_clip_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"film\.mkv#15-24 twice"):
        Manifest(tmp_path, (SHOT, SHOT))


def changed(path: Path, table: object) -> Path:
    parquet.write_table(table, path)
    return path


def test_a_broken_manifest_names_file_and_column(tmp_path: Path) -> None:
    path = written(tmp_path / "clips.parquet", PICTURE, SHOT)
    table = parquet.read_table(path)
    with pytest.raises(InputError, match=r"clips\.parquet has no column 'motion'"):
        read_manifest(changed(path, table.drop_columns(["motion"])))
    texts = table.set_column(table.column_names.index("width"), "width", arrow.array(["1", "2"]))
    with pytest.raises(InputError, match="column 'width' holds string; it must hold int64"):
        read_manifest(changed(path, texts))
    rate = table.column_names.index("rate")
    fast = table.set_column(rate, "rate", arrow.array([None, "fast"]))
    with pytest.raises(InputError, match=r"clips\.parquet, row 1: column rate is 'fast'"):
        read_manifest(changed(path, fast))
    wide = table.set_column(table.column_names.index("width"), "width", arrow.array([300, -1]))
    with pytest.raises(InputError, match="row 1: column width is -1"):
        read_manifest(changed(path, wide))
    kind = table.set_column(
        table.column_names.index("kind"), "kind", arrow.array(["image", "sound"])
    )
    with pytest.raises(InputError, match="kind is 'sound'; it must be one of image, video"):
        read_manifest(changed(path, kind))
    empty = table.set_column(table.column_names.index("height"), "height", arrow.array([260, None]))
    with pytest.raises(InputError, match="row 1: column height is empty"):
        read_manifest(changed(path, empty))


def test_a_manifest_may_have_more_columns(tmp_path: Path) -> None:
    path = written(tmp_path / "clips.parquet", PICTURE)
    table = parquet.read_table(path).append_column("note", arrow.array(["mine"]))
    assert read_manifest(changed(path, table)).rows == (PICTURE,)


def test_a_file_of_another_schema_or_kind_is_an_input_error(tmp_path: Path) -> None:
    path = written(tmp_path / "clips.parquet", PICTURE)
    table = parquet.read_table(path)
    other = table.replace_schema_metadata({"vsr.schema_version": str(SCHEMA_VERSION + 1)})
    with pytest.raises(InputError, match=rf"schema version 1 \(its own: {SCHEMA_VERSION + 1}\)"):
        read_manifest(changed(path, other))
    path.write_text("no parquet")
    with pytest.raises(InputError, match="not a parquet file"):
        read_manifest(path)
    with pytest.raises(InputError, match="no manifest"):
        read_manifest(tmp_path / "none.parquet")


def test_hashed_splits_keep_their_shares_and_stay() -> None:
    names = [f"{i}.jpg" for i in range(2000)]
    shares = {"validation": 0.1, "test": 0.2}
    splits = [hashed_split(name, shares) for name in names]
    assert splits == [hashed_split(name, shares) for name in names]
    assert splits.count("validation") / 2000 == pytest.approx(0.1, abs=0.02)
    assert splits.count("test") / 2000 == pytest.approx(0.2, abs=0.03)


@pytest.fixture
def material(tmp_path: Path) -> Path:
    """Five photographs, and one video whose 24 frames are its numbers, letterboxed."""
    import av

    for i in range(5):
        cv2.imwrite(str(tmp_path / f"{i}.png"), texture(160, 200, i))
    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(12), options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for i in range(24):
            pixels = np.zeros((120, 160, 3), np.uint8)
            pixels[16:-16] = 40 + 8 * i
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return tmp_path


def film(first: int, end: int) -> ClipRow:
    return ClipRow(
        "film.mp4",
        "video",
        "train",
        0,
        0,
        160,
        120,
        first_frame=first,
        end_frame=end,
        start=Fraction(first, 12),
        end=Fraction(end, 12),
        bar_top=16,
        bar_bottom=16,
    )


def config(folder: Path, *rows: ClipRow, **changes: object) -> TrainingClipsConfig:
    path = written(folder / "clips.parquet", *rows)
    base = TrainingClipsConfig(
        manifest=path, crop=16, frames=4, video_access="av", cache=folder / "cache"
    )
    return dataclasses.replace(base, **changes)


def photo(number: int, **changes: object) -> ClipRow:
    row = ClipRow(f"{number}.png", "image", "train", 0, 0, 200, 160)
    return dataclasses.replace(row, **changes)


def test_training_takes_the_kept_clips_of_a_split_only(material: Path) -> None:
    rows = (
        photo(0),
        photo(1, kept=False, reason="blurred"),
        photo(2, split="validation"),
        photo(3, split="test"),
    )
    names = {
        split: [
            path.name for path in TrainingClips(config(material, *rows, split=split)).photos.paths
        ]
        for split in ("train", "validation", None)
    }
    assert names == {
        "train": ["0.png"],
        "validation": ["2.png"],
        None: ["0.png", "2.png", "3.png"],
    }


@pytest.mark.parametrize("access", ["av", "decord"])
def test_no_frame_leaves_its_shot_and_bars_are_gone(material: Path, access: str) -> None:
    pytest.importorskip(access)
    clips = TrainingClips(
        config(material, film(3, 11), film(17, 24), video_access=access, lead_in_frames=0)
    )
    runs = [np.load(path) for path in clips.videos.videos[0]]
    assert {len(run) for run in runs} == {8, 7}
    for run in runs:
        assert run.shape[1:3] == (64, 116)  # 160x88 inside the bars, as small as crops allow
        levels = np.rint((run.mean((1, 2, 3)) - 40) / 8).astype(int).tolist()
        assert levels in (list(range(3, 11)), list(range(17, 24)))
        assert run.min() > 40


def test_a_manifest_without_kept_clips_is_a_clear_error(material: Path) -> None:
    for rows in ((), (photo(0, kept=False, reason="small"),), (photo(0, split="test"),)):
        with pytest.raises(ConfigError, match=r"clips\.parquet has no kept clips of the split"):
            TrainingClips(config(material, *rows, split="train"))


def test_a_shot_shorter_than_the_segment_says_how_long_it_is(material: Path) -> None:
    short = config(material, film(3, 5))
    with pytest.raises(ConfigError, match=r"no 7 frames without a cut in .*film\.mp4; .* has 2"):
        TrainingClips(short)


def test_folders_hold_photographs_out_where_they_are_asked_to(material: Path) -> None:
    base = config(material, photo(0), manifest=None, photos=(material,), held_out_every=2)
    names = {
        split: {
            path.name for path in TrainingClips(dataclasses.replace(base, split=split)).photos.paths
        }
        for split in ("train", "validation", None)
    }
    assert names["validation"] == {"1.png", "3.png"}
    assert names["train"] == {"0.png", "2.png", "4.png"}
    assert names[None] == names["train"] | names["validation"]
