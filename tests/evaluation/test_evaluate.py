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
from vsr.evaluation.evaluate import Networks, evaluate_clip
from vsr.evaluation.lossless import loss_of
from vsr.evaluation.sets import Pair, find_pairs
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
