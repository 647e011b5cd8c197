"""Benchmarks: sets with hashes, methods side by side, results that are kept, tables."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from tests.evaluation.clips import Clip, truth_clip
from vsr.cli import main
from vsr.degradation.benchmark_set import SET, BenchmarkSet
from vsr.errors import ConfigError, InputError, ModelError
from vsr.evaluation.benchmark.benchmark import Settings, benchmark, benchmark_set
from vsr.evaluation.benchmark.methods import Method, benchmark_methods, given_outputs
from vsr.evaluation.benchmark.results import Results
from vsr.evaluation.benchmark.tables import as_csv, as_markdown, filled
from vsr.evaluation.benchmark.timed import Timing

SETTINGS = Settings(every=8)
BICUBIC = Method("bicubic", interpolation="bicubic")


def write(folder: Path, clip: Clip) -> Path:
    folder.mkdir(parents=True)
    for number, picture in enumerate(clip):
        cv2.imwrite(str(folder / f"{number:02}.png"), picture[..., ::-1])
    return folder


@pytest.fixture
def clips(tmp_path: Path) -> BenchmarkSet:
    """A set of one clip of three frames."""
    truth = truth_clip(3)
    small = [cv2.resize(one, (32, 24), interpolation=cv2.INTER_AREA) for one in truth]
    write(tmp_path / "set" / "gt" / "city_gt", truth)
    write(tmp_path / "set" / "in" / "city", small)
    folder = tmp_path / "set"
    return benchmark_set(folder / "in", folder / "gt", folder)


def test_a_set_is_read_back_with_its_hashes_checked(clips: BenchmarkSet) -> None:
    assert replace(BenchmarkSet.load(clips.folder / SET), folder=clips.folder) == clips
    assert clips.clips[0].input == "in/city"
    (clips.folder / "in" / "city" / "01.png").unlink()
    with pytest.raises(InputError, match="is not the clip city of the set"):
        BenchmarkSet.load(clips.folder / SET)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"clips": [{"name": 1}]}'])
def test_a_file_that_is_no_set_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / SET).write_text(content)
    with pytest.raises(InputError, match="is no set of clips"):
        BenchmarkSet.load(tmp_path / SET)


def test_interpolation_and_every_model_are_methods() -> None:
    names = [method.name for method in benchmark_methods(["compact"])]
    ways = ("without texture", "frame by frame")
    assert names == ["bicubic", "lanczos", "compact", *(f"compact, {way}" for way in ways)]
    names = [method.name for method in benchmark_methods([])]
    assert {"realesrgan-x4plus", "realesrgan-x4plus, frame by frame"} <= set(names)
    assert [name for name in names if name.startswith("basicvsr")] == ["basicvsr-reds4"]
    with pytest.raises(ModelError, match="there is no model compcat"):
        list(benchmark_methods(["compcat"]))


def test_a_method_is_measured_once_and_written_everywhere(
    clips: BenchmarkSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    first = benchmark(clips, [BICUBIC], output, SETTINGS)
    assert first.of_method("bicubic")["psnr_y"] > 15
    assert {path.name for path in output.iterdir()} == {
        *("results.json", "table.md", "table.csv", "city.html", "city.png", "clips")
    }
    assert Results.load(output / "results.json") == first
    assert (output / "table.md").read_text() == as_markdown(first)

    def refuse(*args: object, **kwargs: object) -> Timing:
        raise AssertionError("measured again")

    monkeypatch.setattr("vsr.evaluation.benchmark.benchmark.timed_run", refuse)
    assert benchmark(clips, [BICUBIC], output, SETTINGS).rows == first.rows
    with pytest.raises(AssertionError):
        benchmark(clips, [BICUBIC], output, Settings(every=8, repeats=2))


@pytest.mark.slow
def test_a_model_is_run_through_its_job(clips: BenchmarkSet, tmp_path: Path) -> None:
    methods = [one for one in benchmark_methods(["realesr-animevideov3"]) if one.config]
    results = benchmark(clips, methods, tmp_path / "out", SETTINGS)
    for method in methods:
        found = results.of_method(method.name)
        assert found["frames"] == 3
        assert found["first_seconds"] > 0
        assert found["peak_gigabytes"] > 0.1


def test_outputs_of_another_tool_are_measured_without_a_cost(
    clips: BenchmarkSet, tmp_path: Path
) -> None:
    write(tmp_path / "other" / "city_x4", truth_clip(3))
    (method,) = given_outputs(f"other tool={tmp_path / 'other'}")
    found = benchmark(clips, [method], tmp_path / "out", SETTINGS).of_method("other tool")
    assert found["psnr_y"] > 100
    assert "frames_per_second" not in found
    (empty,) = given_outputs(f"other tool={tmp_path / 'set' / 'in'}")
    with pytest.raises(ConfigError, match="it is NAME=FOLDER"):
        list(given_outputs("other"))
    assert empty.outputs


def some_results(tmp_path: Path) -> Results:
    timing = Timing(10, 1_000_000, 2.0, 1.5, 2_000_000_000, "a CPU, 2 threads")
    content = {
        "set_name": "dev",
        "degradation": "default",
        "inputs": {},
        "date": "2026-01-01",
        "versions": {"vsr": "1"},
        "protocol": {},
        "missing": {"stlpips": "the package is missing"},
        "rows": [
            {
                "method": "bicubic",
                "clip": clip,
                "timings": [
                    {name: getattr(timing, name) for name in timing.__slots__} | {"seconds": s}
                    for s in (2.0, 4.0, 5.0)
                ],
                "figures": {"psnr_y": psnr, "tdiff": 1.0},
            }
            for clip, psnr in (("city", 20.0), ("sea", 30.0))
        ],
    }
    (tmp_path / "results.json").write_text(json.dumps(content))
    return Results.load(tmp_path / "results.json")


def test_the_table_has_means_of_figures_and_medians_of_costs(tmp_path: Path) -> None:
    assert as_markdown(some_results(tmp_path)).splitlines() == [
        "| | PSNR (Y), dB | flicker (tdiff), lower | frames/s | megapixels/s "
        "| first frames after, s | memory, GB |",
        "|---|---|---|---|---|---|---|",
        "| bicubic | 25.00 | 1.00 | 2.50 | 2.50 | 1.5 | 2.00 |",
        "",
        "Means over 2 clips of dev (default); costs are medians, memory is the largest. "
        "a CPU, 2 threads; vsr 1; 2026-01-01. Not measured: stlpips.",
    ]
    rows = as_csv(some_results(tmp_path)).splitlines()
    assert rows[0].startswith("method,clip,psnr_y,tdiff,frames_per_second")
    assert len(rows) == 3


def test_a_page_is_filled_with_the_columns_that_it_asks_for(tmp_path: Path) -> None:
    page = "Text.\n\n<!-- benchmark dev.1: psnr_y -->\nold\n<!-- end of benchmark -->\n"
    some_results(tmp_path)
    (tmp_path / "results.json").rename(tmp_path / "dev.1.json")
    once = filled(page, tmp_path)
    assert "| | PSNR (Y), dB |\n|---|---|\n| bicubic | 25.00 |\n" in once
    assert "old" not in once
    assert filled(once, tmp_path) == once
    with pytest.raises(ConfigError, match="pnsr is no figure"):
        filled(page.replace("psnr_y", "pnsr"), tmp_path)


def test_settings_below_one_are_refused() -> None:
    with pytest.raises(ConfigError, match="repeats = 0 is too small"):
        Settings(repeats=0)


def test_a_set_that_does_not_exist_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", str(tmp_path / "set.json"), "--models", "compact"]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
