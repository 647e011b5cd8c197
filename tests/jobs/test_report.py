"""The page about a run."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from vsr.cli import main
from vsr.config import UpscaleConfig
from vsr.jobs.report import upscale_with_report
from vsr.reporting.films import Film
from vsr.reporting.run_page import RunFacts, write_run_page


@pytest.fixture
def config(tiny_model: Path) -> UpscaleConfig:
    return UpscaleConfig(model=str(tiny_model), device="cpu", dtype="float32", max_clip_frames=4)


def test_the_page_names_settings_times_shots_and_streams(
    source: Path, config: UpscaleConfig, tmp_path: Path
) -> None:
    run = upscale_with_report(source, tmp_path / "out.mkv", replace(config, crf=20))
    assert run.page == tmp_path / "out.report.html"
    page = run.page.read_text()
    for text in ("crf</th><td>20", "10 in ", "1 shot:", "aac", "<td>copied", "encode</span>"):
        assert text in page
    assert "http" not in page
    assert str(run).endswith(f"report: {run.page}")


def test_a_part_of_a_film_has_its_shots_counted_from_its_start(
    source: Path, config: UpscaleConfig, tmp_path: Path
) -> None:
    run = upscale_with_report(source, tmp_path / "out.mkv", replace(config, start=0.2))
    assert run.report.shots[0] > 0
    assert run.page is not None
    assert "<figcaption>frame 0</figcaption>" in run.page.read_text()


def test_an_output_that_was_found_complete_has_a_page_too(
    source: Path, config: UpscaleConfig, tmp_path: Path
) -> None:
    upscale_with_report(source, tmp_path / "out.mkv", config)
    films = [Film.of(tmp_path / "out.mkv")] * 2
    facts = RunFacts([("frames", "made by an earlier run")], {}, (), (), ("a <warning>",))
    write_run_page(films, tmp_path / "page.html", facts, title="Report")
    page = (tmp_path / "page.html").read_text()
    assert "made by an earlier run" in page
    assert "<li>a &lt;warning&gt;</li>" in page
    assert "Shots" not in page


def test_warnings_of_the_run_are_on_the_page(
    source: Path, config: UpscaleConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vsr.jobs import report

    made = report.upscale

    def warn_and_upscale(*args: object, **kwargs: object) -> object:
        logging.getLogger("vsr.jobs").warning("the film is %s", "odd")
        logging.getLogger("vsr.jobs").info("nothing to see")
        return made(*args, **kwargs)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(report, "upscale", warn_and_upscale)
    run = upscale_with_report(source, tmp_path / "out.mkv", config)
    assert run.page is not None
    page = run.page.read_text()
    assert "<li>the film is odd</li>" in page
    assert "nothing to see" not in page


def test_a_report_on_many_films_has_an_index(
    source: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(source.read_bytes())
    options = ["--report", "--model", str(tiny_model), "--device", "cpu", "--dtype", "float32"]
    assert main(["upscale", str(folder), str(tmp_path / "out"), *options]) == 0
    assert "report.html" in capsys.readouterr().out
    assert (tmp_path / "out" / "a_x4.report.html").exists()
