"""Reports on batches: a page for each film, and an index."""

from pathlib import Path

import pytest

from tests.jobs.resume.kills import CLIP_FRAMES, make_film
from tests.jobs.resume.standin import EchoModel
from vsr.config import UpscaleConfig
from vsr.errors import OutputError
from vsr.jobs.batch import upscale_batch
from vsr.jobs.batch_report import ReportedBatch, upscale_batch_with_report
from vsr.jobs.films import batch_of

CONFIG = UpscaleConfig(max_clip_frames=CLIP_FRAMES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two films of one name, and a file that is none."""
    films = tmp_path / "films"
    films.mkdir()
    make_film(films / "a.mp4", (5, 6))
    make_film(films / "a.mkv", (7,))
    (films / "b & c.mp4").write_text("no film")
    return films


def reported(folder: Path) -> ReportedBatch:
    batch = batch_of(folder, folder.parent / "out", CONFIG)
    assert batch is not None
    return upscale_batch_with_report(batch, CONFIG, model=EchoModel())


def test_each_film_has_a_page_and_the_index_says_what_became_of_all(folder: Path) -> None:
    run = reported(folder)
    assert run.index == folder.parent / "out" / "report.html"
    index = run.index.read_text()
    for page in ("a_x4.mp4.report.html", "a_x4.mkv.report.html"):
        assert f'href="{page}"' in index
        assert "<h2>Streams" in run.index.with_name(page).read_text()
    assert "b &amp; c.mp4" in index
    assert "failed: " in index
    assert "2 of 3 done, 1 failed" in index
    assert index.count("<img") == 2
    assert "http" not in index
    assert str(run).endswith(f"report: {run.index}")


def test_films_of_an_earlier_run_get_their_pages_too(folder: Path) -> None:
    batch = batch_of(folder, folder.parent / "out", CONFIG)
    assert batch is not None
    upscale_batch(batch, CONFIG, model=EchoModel())
    run = reported(folder)
    assert "made by an earlier run" in run.index.read_text()
    assert "made by an earlier run" in run.index.with_name("a_x4.mkv.report.html").read_text()


def test_a_page_that_cannot_be_written_fails_no_film(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr("vsr.jobs.batch_report.write_report", refuse)
    run = reported(folder)
    assert len(run.report.done) == 2
    assert run.index.read_text().count("frames/s); no page: the disk is full") == 2


def test_the_index_of_a_list_lies_beside_it(folder: Path) -> None:
    (folder.parent / "films.txt").write_text("films/a.mkv\n")
    batch = batch_of(folder.parent / "films.txt", None, CONFIG)
    assert batch is not None
    run = upscale_batch_with_report(batch, CONFIG, model=EchoModel())
    assert run.index == folder.parent / "films.report.html"
    assert 'href="films/a_x4.report.html"' in run.index.read_text()
