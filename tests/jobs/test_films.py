"""A folder gives its videos and leaves out the rest with a line; outputs of vsr are known."""

from pathlib import Path

import pytest

from tests.jobs.resume.kills import make_film
from tests.jobs.resume.standin import EchoModel
from vsr.config import UpscaleConfig
from vsr.errors import InputError, OutputError
from vsr.jobs.films import batch_of
from vsr.jobs.upscale import upscale
from vsr.video.images import read_image
from vsr.video.mark import is_made_by_vsr

CONFIG = UpscaleConfig()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two films, and a file that is none."""
    films = tmp_path / "films"
    films.mkdir()
    make_film(films / "a.mp4", (3,))
    make_film(films / "c.mkv", (3,))
    (films / "notes.md").write_text("mine")
    return films


def names(folder: Path, output: Path | None = None, **options: object) -> list[tuple[str, str]]:
    """The sources and outputs of a folder, relative to it and to the folder of the outputs."""
    config = UpscaleConfig(**options)  # pyright: ignore[reportArgumentType]
    batch = batch_of(folder, output, config)
    assert batch is not None and batch.folder is not None
    films = batch.films
    return [
        (str(film.source.relative_to(folder)), str(film.output.relative_to(batch.folder)))
        for film in films
    ]


@pytest.mark.parametrize(
    "output", ["out.mp4", "out.mov", "out.mkv", "out.m4v", "out.gif", "out.apng"]
)
def test_a_folder_run_leaves_out_what_vsr_has_made(
    folder: Path, output: str, caplog: pytest.LogCaptureFixture
) -> None:
    upscale(folder / "a.mp4", folder / output, CONFIG, model=EchoModel())
    assert is_made_by_vsr(folder / output)
    assert not is_made_by_vsr(folder / "a.mp4")
    with caplog.at_level("INFO"):
        assert [source for source, _ in names(folder)] == ["a.mp4", "c.mkv"]
    assert f"{output} is skipped: vsr has made it" in caplog.text


def test_pictures_carry_the_mark_and_stay_readable(folder: Path, tmp_path: Path) -> None:
    for codec in ("exr", "png"):
        config = UpscaleConfig(codec=codec)
        upscale(folder / "a.mp4", tmp_path / codec, config, model=EchoModel())
        pictures = sorted((tmp_path / codec).iterdir())
        assert len(pictures) == 3
        assert all(map(is_made_by_vsr, pictures))
    pairs = zip((tmp_path / "exr").iterdir(), (tmp_path / "png").iterdir(), strict=True)
    assert all(read_image(exr).shape == read_image(png).shape for exr, png in pairs)


def test_a_folder_of_nothing_but_outputs_is_explained(folder: Path, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    upscale(folder / "a.mp4", outputs / "a_x4.mp4", CONFIG, model=EchoModel())
    with pytest.raises(InputError, match="are outputs of vsr"):
        batch_of(outputs, None, CONFIG)


@pytest.mark.parametrize("name", ["x.rmvb", "x.DIVX", "x.m2p", "x.m2t", "x.qt", "x.mpe"])
def test_files_with_rare_endings_are_videos(folder: Path, name: str) -> None:
    (folder / name).write_text("no film, which its turn will show")
    assert name in [source for source, _ in names(folder)]


def test_posters_beside_films_and_other_files_are_left_out_with_a_line(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "poster.jpg").touch()
    with caplog.at_level("INFO"):
        assert [source for source, _ in names(folder)] == ["a.mp4", "c.mkv"]
    assert "pictures beside the videos are skipped (poster.jpg)" in caplog.text
    assert "notes.md is skipped: not a video" in caplog.text


def test_subfolders_are_named_and_with_recursive_read(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "season 1").mkdir()
    for hidden in (".vsr_previews", "c_x4.mkv.vsr"):
        (folder / hidden).mkdir()
        (folder / hidden / "partial.mp4").touch()
    make_film(folder / "season 1" / "a.mp4", (3,))
    with caplog.at_level("INFO"):
        assert [source for source, _ in names(folder)] == ["a.mp4", "c.mkv"]
    assert "(season 1): give --recursive" in caplog.text
    assert names(folder, recursive=True) == [
        ("a.mp4", "a_x4.mp4"),
        ("c.mkv", "c_x4.mkv"),
        ("season 1/a.mp4", "season 1/a_x4.mp4"),
    ]


def test_outputs_inside_the_folder_are_no_sources_of_a_recursive_run(folder: Path) -> None:
    out = folder / "out"
    out.mkdir()
    make_film(out / "old.mp4", (3,))
    assert len(names(folder, out, recursive=True)) == 2


def test_a_folder_whose_subfolders_hold_the_videos_names_the_option(
    folder: Path, tmp_path: Path
) -> None:
    top = tmp_path / "top"
    top.mkdir()
    folder.rename(top / "films")
    with pytest.raises(InputError, match=r"holds no video itself, but films does: .*--recursive"):
        batch_of(top, None, CONFIG)


@pytest.mark.parametrize(
    ("pattern", "outputs"),
    [
        ("{stem}_4k", ["a_4k.mp4", "c_4k.mkv"]),
        ("{scale}-{stem}.mov", ["x4-a.mov", "x4-c.mov"]),
        ("{stem}.{ending}-large", ["a.mp4-large.mp4", "c.mkv-large.mkv"]),
    ],
)
def test_outputs_are_named_by_a_pattern(folder: Path, pattern: str, outputs: list[str]) -> None:
    assert [output for _, output in names(folder, name=pattern)] == outputs


def test_episodes_without_an_ending_keep_their_numbers(folder: Path) -> None:
    (folder / "a.mp4").rename(folder / "Show.S01E01")
    (folder / "c.mkv").rename(folder / "Show.S01E02")
    (folder / "list.txt").write_text("Show.S01E01\nShow.S01E02\n")
    batch = batch_of(folder / "list.txt", None, CONFIG)
    assert batch is not None
    assert [f.output.name for f in batch.films] == ["Show.S01E01_x4.mkv", "Show.S01E02_x4.mkv"]


def test_a_list_names_films_beside_it(tmp_path: Path, folder: Path) -> None:
    names = folder / "list.txt"
    names.write_text("# mine\na.mp4\n\nc.mkv\n")
    batch = batch_of(names, None, CONFIG)
    assert batch is not None
    assert [film.source.name for film in batch.films] == ["a.mp4", "c.mkv"]
    assert [film.output.name for film in batch.films] == ["a_x4.mp4", "c_x4.mkv"]
    assert {film.output.parent for film in batch.films} == {folder}


def test_a_folder_of_pictures_and_a_file_are_one_film(tmp_path: Path, folder: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "1.png").touch()
    assert batch_of(pictures, None, CONFIG) is None
    assert batch_of(folder / "a.mp4", None, CONFIG) is None


def test_what_cannot_be_a_batch_is_explained(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(OutputError, match="has the sources in it"):
        batch_of(folder, folder, CONFIG)
    with pytest.raises(OutputError, match="is a file"):
        batch_of(folder, folder / "a.mp4", CONFIG)
    (folder / "c.mp4").touch()
    (folder / "other").mkdir()
    (folder / "other" / "c.mp4").touch()
    (folder / "list.txt").write_text("c.mp4\nother/c.mp4\n")
    with pytest.raises(OutputError, match=r"would both become .*c"):
        batch_of(folder / "list.txt", tmp_path / "out", CONFIG)
    (folder / "list.txt").write_text("# nothing\n")
    with pytest.raises(InputError, match="names no film"):
        batch_of(folder / "list.txt", None, CONFIG)
