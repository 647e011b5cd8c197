"""Evaluation of files: pairs, hashes, reports, and what cannot be compared."""

import csv
import hashlib
import json
from pathlib import Path

import cv2
import pytest

from tests.evaluation.clips import Clip, changed, truth_clip
from vsr.cli import main
from vsr.errors import InputError
from vsr.evaluation.clip import evaluate_clip
from vsr.evaluation.evaluate import Evaluation, Sources, evaluate
from vsr.evaluation.lossless import loss_of
from vsr.evaluation.networks import Networks
from vsr.evaluation.record import ClipScore
from vsr.evaluation.reports import as_text
from vsr.evaluation.sets import Pair, find_pairs
from vsr.evaluation.vsreval import VsrevalResults
from vsr.video.probe import probe

NONE = Networks((), (), {})


def write(folder: Path, clip: Clip) -> Path:
    folder.mkdir(parents=True)
    for number, picture in enumerate(clip):
        cv2.imwrite(str(folder / f"{number:02}.png"), picture[..., ::-1])
    return folder


def test_the_report_has_its_six_parts_and_every_figure(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    truth = truth_clip(3)
    for name in ("city", "sea"):
        write(tmp_path / "gt" / f"{name}_gt", truth)
        write(tmp_path / "out" / f"{name}_x4", changed(truth, 4))
    options = ["--json", str(tmp_path / "f.json"), "--csv", str(tmp_path / "f.csv"), "--every", "3"]
    code = main(["evaluate", str(tmp_path / "out"), "--gt", str(tmp_path / "gt"), *options])
    assert code == 0
    report = json.loads((tmp_path / "f.json").read_text())
    assert list(report) == ["protocol", "versions", "inputs", "clips", "mean", "missing"]
    assert set(report["clips"]) == {"city_x4", "sea_x4"}
    shared = {"psnr_y", "ssim_y", "stlpips", "robust", "effnet", "grid", "ewarp", "tdiff"}
    assert shared <= set(report["mean"]) | set(report["missing"])
    other = {"lpips", "dists", "niqe", "brisque", "musiq", "clipiqa", "maniqa"}
    assert other <= set(report["mean"]) | set(report["missing"])
    values = [clip["psnr_y"] for clip in report["clips"].values()]
    assert report["mean"]["psnr_y"] == pytest.approx(sum(values) / 2)
    content = b"".join(file.read_bytes() for file in sorted((tmp_path / "out/sea_x4").iterdir()))
    assert report["inputs"][str(tmp_path / "out/sea_x4")] == hashlib.sha256(content).hexdigest()
    rows = list(csv.DictReader((tmp_path / "f.csv").open()))
    assert [row["frame"] for row in rows] == [*"012", "all", *"012", "all", "all"]
    assert "psnr_y" in capfd.readouterr().out


def test_without_a_truth_the_figures_that_need_it_are_missing(tmp_path: Path) -> None:
    score = evaluate_clip(Pair("a", write(tmp_path / "a", truth_clip(3))), NONE)
    assert {"ewarp", "grid", "checker"} <= set(score.figures)
    assert "psnr_y" not in score.figures


def test_another_size_is_said_and_not_compared(tmp_path: Path) -> None:
    truth = write(tmp_path / "gt", truth_clip(3))
    small = write(tmp_path / "out", [one[:80, :96] for one in truth_clip(3)])
    score = evaluate_clip(Pair("a", small, truth), NONE)
    assert score.missing["psnr_y"] == "the output is 96x80, the truth 128x96"
    assert any(finding.startswith("other size") for finding in score.findings)


def test_a_lost_frame_is_said_with_both_counts(tmp_path: Path) -> None:
    clip = truth_clip()
    output = write(tmp_path / "out", clip[:2] + clip[3:])
    score = evaluate_clip(Pair("a", output, write(tmp_path / "gt", clip)), NONE)
    assert "frame counts: 4 in the output, 5 in the truth" in score.findings
    assert any("from frame 2 on" in finding for finding in score.findings)
    assert score.figures["frames_lost"] == 1


def test_lossy_files_are_told_from_lossless_ones(tmp_path: Path, source: Path) -> None:
    assert "h264" in (loss_of(probe(source)) or "")
    assert loss_of(probe(write(tmp_path / "png", truth_clip(1)))) is None


def test_an_output_without_a_truth_of_its_name_is_an_error(tmp_path: Path) -> None:
    for name in ("gt/city", "gt/sea", "out/cow_x4"):
        write(tmp_path / name, truth_clip(1))
    with pytest.raises(InputError, match="no ground truth of its name"):
        find_pairs(tmp_path / "out", tmp_path / "gt")


def test_the_truth_with_the_longest_common_name_is_taken(tmp_path: Path) -> None:
    for name in ("gt/city", "gt/city_night", "out/city_night_x4", "out/city_x4"):
        write(tmp_path / name, truth_clip(1))
    pairs = find_pairs(tmp_path / "out", tmp_path / "gt")
    assert [pair.truth and pair.truth.name for pair in pairs] == ["city_night", "city"]


def vsreval_results(folder: Path, *clips: str) -> Path:
    """The file that vsreval 0.1.0 writes."""
    scores = {"dover": 71.5, "fastervqa": 0.8, "ewarp": 2.5, "musiq": 60.0}
    content = {
        "protocol": "vsreval-v1",
        "versions": {"vsreval": "0.1.0", "torch": "2.6.0"},
        "count": len(clips),
        "inputs": {},
        "warnings": [],
        "average": scores,
        "per_sample": dict.fromkeys(clips, scores),
    }
    path = folder / "results.json"
    path.write_text(json.dumps(content))
    return path


def test_results_of_vsreval_are_merged_with_their_versions(tmp_path: Path) -> None:
    clip = write(tmp_path / "city", truth_clip(2))
    file = vsreval_results(tmp_path, "city")
    found = evaluate(clip, sources=Sources(vsreval=file))
    wanted = {"dover": 71.5, "fastervqa": 0.8, "ewarp_vsreval": 2.5}
    assert {name: found.mean[name] for name in wanted} == wanted
    assert not found.missing.keys() & wanted.keys()
    assert found.protocol["vsreval"] == {
        "protocol": "vsreval-v1",
        "versions": {"vsreval": "0.1.0", "torch": "2.6.0"},
    }


def test_figures_do_not_depend_on_the_number_of_clips_at_once(tmp_path: Path) -> None:
    """One search of flow, shared by threads, mixed their frames."""
    for number, name in enumerate(("city", "sea", "cow")):
        clip = [cv2.resize(one, (384, 288)) for one in truth_clip(5)]
        write(tmp_path / "out" / name, clip[number % 2 :: 1 + number // 2])
    alone, together = (evaluate(tmp_path / "out", jobs=jobs) for jobs in (1, 3))
    assert together.clips == alone.clips


def test_clips_that_vsreval_has_not_seen_are_named(tmp_path: Path) -> None:
    clip = write(tmp_path / "city", truth_clip(2))
    file = vsreval_results(tmp_path, "sea")
    found = evaluate(clip, sources=Sources(vsreval=file))
    assert found.missing["dover"] == "the results of vsreval lack city"


def test_without_vsreval_its_command_is_named(tmp_path: Path) -> None:
    clip = write(tmp_path / "out" / "city", truth_clip(2))
    reason = evaluate(clip.parent).missing["dover"]
    assert f"uvx vsreval eval --pred {clip.parent} --metrics dover,fastervqa,ewarp" in reason


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"per_sample": {"a": 1}, "protocol": ""}'])
def test_a_file_that_is_not_of_vsreval_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(InputError, match="holds no results of vsreval"):
        VsrevalResults.load(tmp_path / "other.json")


def test_an_interrupted_evaluation_goes_on_with_the_clips_that_are_left(tmp_path: Path) -> None:
    """The record of the first run ends in a line that was cut off."""
    outputs = tmp_path / "out"
    for name in ("city", "sea"):
        write(outputs / name, truth_clip(2 + len(name)))
    sources = Sources(record=tmp_path / "f.json.partial")
    whole = evaluate(outputs, sources=sources)
    assert sources.record is not None
    first, second = sources.record.read_text().splitlines()
    content = json.loads(first)
    content["score"]["findings"] = ["from the record"]
    sources.record.write_text(f"{json.dumps(content)}\n{second[:40]}")
    again = evaluate(outputs, sources=sources)
    kept = [clip.findings[:1] == ("from the record",) for clip in again.clips]
    assert kept == [True, False]
    assert again.mean == whole.mean
    changed_clip = write(tmp_path / "new", truth_clip(4))
    (outputs / "city").rename(tmp_path / "old")
    changed_clip.rename(outputs / "city")
    assert evaluate(outputs, sources=sources).clips[0].findings[:1] != ("from the record",)


def test_the_table_of_many_clips_fits_a_narrow_terminal_with_every_name_whole() -> None:
    clips = tuple(
        ClipScore(f"a_clip_with_a_long_name_{number}", {"ewarp_evalcrafter": 1.0}, (), (), {})
        for number in range(7)
    )
    lines = as_text(Evaluation({}, {}, clips, {}, {}), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("ewarp_evalcrafter" in line for line in lines) == 3


def test_the_command_leaves_no_record_behind(tmp_path: Path) -> None:
    clip = write(tmp_path / "city", truth_clip(2))
    assert main(["evaluate", str(clip), "--json", str(tmp_path / "f.json")]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"city", "f.json"}


def test_every_figure_of_the_docs_is_one_of_the_report_or_missing(tmp_path: Path) -> None:
    truth = truth_clip(3)
    output = write(tmp_path / "out", truth)
    found = evaluate(output, write(tmp_path / "gt", truth), every=3)
    assert found.missing["clip_border"] == (
        "out: the clip lacks four frames whose motion can be followed"
    )
    page = (Path(__file__).parent.parent.parent / "docs" / "evaluation.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    documented = {name.strip(" `") for row in rows for name in row.split(",")}
    reported = set(found.mean) | set(found.missing)
    assert documented - reported == set()
    assert reported - documented == {"frames"}


def test_clips_of_one_name_are_told_apart_by_their_endings(tmp_path: Path) -> None:
    for name in ("city.mkv", "city.mp4", "sea.mkv"):
        (tmp_path / name).touch()
    assert [pair.name for pair in find_pairs(tmp_path)] == ["city.mkv", "city.mp4", "sea"]
