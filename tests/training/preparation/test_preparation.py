import dataclasses
import json
import logging
import shutil
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.training.data.test_samples import texture
from vsr.degradation import DegradationConfig, old_film_config
from vsr.errors import ConfigError, InputError
from vsr.training.data.clip_row import ClipRow
from vsr.training.data.manifest import Manifest, read_manifest
from vsr.training.data.samples import TrainingClips, TrainingClipsConfig
from vsr.training.preparation import pairs as pairs_module
from vsr.training.preparation.clips import clip_frames
from vsr.training.preparation.commands import degrade as degrade_script
from vsr.training.preparation.commands import filter as filter_script
from vsr.training.preparation.commands import probe as probe_script
from vsr.training.preparation.judgement import FilterConfig, judge
from vsr.training.preparation.pairs import example_sheet, write_pairs
from vsr.training.preparation.steps import filter_clips, probe_folder, split_shots
from vsr.video.images import list_images, read_image

pytest.importorskip("pyarrow")

SHARES = {"validation": 0.2, "test": 0.2}
LIMITS = FilterConfig(min_side=64, min_frames=4, max_motion=200, duplicate_bits=4)


def write_video(path: Path, *, start: int = 0) -> None:
    """Two seconds at 12 frames/s: 15 frames of a red picture that moves, then 9 of a blue one,
    128 rows of them between bars of 16."""
    picture = texture(128, 240, 9)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(12), options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 160, 160, "yuv420p"
        for i in range(24):
            pixels = np.zeros((160, 160, 3), np.uint8)
            pixels[16:-16] = picture[:, 2 * i : 2 * i + 160]
            pixels[..., 2 if i < 15 else 0] //= 8
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = i + start, Fraction(1, 12)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good picture, a copy of it, a blurred and a small one; a film that starts late; rubbish."""
    folder = tmp_path_factory.mktemp("media")
    (folder / "photos").mkdir()
    good = cv2.addWeighted(texture(200, 240, 1), 0.7, np.indices((200, 240)).sum(0)[..., None]
                           .repeat(3, 2).astype(np.uint8) % 2 * 60, 1, 0)  # fmt: skip
    cv2.imwrite(str(folder / "photos" / "good.png"), good)
    cv2.imwrite(str(folder / "photos" / "same.jpg"), good)
    soft = cv2.GaussianBlur(texture(200, 240, 2), (0, 0), 8)
    cv2.imwrite(str(folder / "photos" / "soft.png"), soft)
    cv2.imwrite(str(folder / "photos" / "tiny.png"), good[:40, :50])
    write_video(folder / "film.mp4", start=30)
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / ".hidden.png").write_bytes(b"not looked at")
    (folder / "notes.txt").write_text("not looked at")
    return folder


@pytest.fixture(scope="module")
def prepared(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared") / "clips.parquet"
    probe_folder(media, path, shares=SHARES)
    split_shots(path, path)
    filter_clips(path, path, config=LIMITS)
    return path


def by_key(path: Path) -> dict[str, ClipRow]:
    return {row.key: row for row in read_manifest(path).rows}


def test_a_folder_becomes_rows_and_what_is_broken_is_named(
    media: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = probe_folder(media, tmp_path / "clips.parquet", shares=SHARES)
    assert [row.source for row in found] == [
        "film.mp4",
        *(f"photos/{name}" for name in ("good.png", "same.jpg", "soft.png", "tiny.png")),
    ]
    film = next(iter(found))
    assert (film.width, film.height, film.frames, film.rate) == (160, 160, 24, Fraction(12))
    assert (film.start, film.end, film.shot) == (0, 2, None)
    assert "broken.mp4: skipped (1 skipped)" in caplog.text


def test_videos_are_cut_into_their_shots(prepared: Path) -> None:
    shots = [row for row in read_manifest(prepared).rows if row.kind == "video"]
    assert [(row.first_frame, row.end_frame, row.shot) for row in shots] == [
        (0, 15, 0),
        (15, 24, 1),
    ]
    assert [(row.start, row.end) for row in shots] == [
        (Fraction(0), Fraction(5, 4)),
        (Fraction(5, 4), Fraction(2)),
    ]


def test_clips_are_measured_and_judged(prepared: Path) -> None:
    rows = by_key(prepared)
    reasons = {key: row.reason.split(":")[0].split(" of")[0] for key, row in rows.items()}
    assert reasons == {
        "film.mp4#0-15": "",
        "film.mp4#15-24": "",
        "photos/good.png#0-1": "",
        "photos/same.jpg#0-1": "near-duplicate",
        "photos/soft.png#0-1": "blurred",
        "photos/tiny.png#0-1": "small",
    }
    assert all(row.kept == (not row.reason) for row in rows.values())
    film = rows["film.mp4#0-15"]
    np.testing.assert_allclose(film.bars, (18, 18, 0, 0), atol=1)
    assert film.motion == pytest.approx(1000 * 2 / 160, rel=0.2)
    assert film.text == 0


def test_steps_run_twice_change_nothing(media: Path, prepared: Path, tmp_path: Path) -> None:
    path = tmp_path / "clips.parquet"
    shutil.copy(prepared, path)
    probe_folder(media, path, shares=SHARES)
    split_shots(path, path)
    filter_clips(path, path, config=LIMITS)
    assert read_manifest(path).rows == read_manifest(prepared).rows
    assert [p.name for p in tmp_path.iterdir()] == ["clips.parquet"]


def test_files_that_come_go_or_change_are_seen(media: Path, tmp_path: Path) -> None:
    folder, path = tmp_path / "media", tmp_path / "clips.parquet"
    shutil.copytree(media / "photos", folder)
    probe_folder(folder, path, shares=SHARES)
    filter_clips(path, path, config=LIMITS)
    (folder / "tiny.png").unlink()
    shutil.copy(folder / "good.png", folder / "new.png")
    cv2.imwrite(str(folder / "soft.png"), texture(90, 100, 3))
    found = {row.source: row for row in probe_folder(folder, path, shares=SHARES)}
    assert list(found) == ["good.png", "new.png", "same.jpg", "soft.png"]
    assert found["good.png"].sharpness is not None
    assert found["new.png"].sharpness is None
    assert (found["soft.png"].width, found["soft.png"].sharpness) == (100, None)


def test_other_limits_judge_anew_without_measuring(prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "clips.parquet"
    limits = FilterConfig(min_side=1, min_sharpness=0, duplicate_bits=-1, max_motion=200)
    found = filter_clips(prepared, out, config=limits)
    assert [row.kept for row in found] == [True] * 6


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"end_frame": 3}, "short: 3 frames"),
        ({"motion": 201.0}, "motion 201, 0 to 200 wanted"),
        ({"text": 0.01}, "text on 1.00% of the picture"),
        ({"bar_left": 100, "bar_top": 0, "bar_bottom": 0}, "small: 60x160"),
    ],
)
def test_a_reason_says_what_was_found_and_what_is_wanted(
    prepared: Path, change: dict[str, object], reason: str
) -> None:
    row = dataclasses.replace(by_key(prepared)["film.mp4#0-15"], **change)
    judged = next(judge([row], LIMITS))
    assert not judged.kept
    assert judged.reason.startswith(reason)


def test_frames_of_a_clip_are_its_own_and_without_bars(media: Path, prepared: Path) -> None:
    first, second = (by_key(prepared)[f"film.mp4#{key}"] for key in ("0-15", "15-24"))
    red, blue = clip_frames(first, media), clip_frames(second, media)
    width, height = first.picture_size
    assert red.shape == (15, height, width, 3)
    assert len(blue) == 9
    assert red[:, [0, -1]].max((2, 3)).min() > 40  # no row of a bar
    assert (red.mean((1, 2))[:, 0] > 2 * red.mean((1, 2))[:, 2]).all()
    assert (blue.mean((1, 2))[:, 2] > 2 * blue.mean((1, 2))[:, 0]).all()
    for before, after in pairwise(red.astype(int)):
        assert np.abs(before[:, 2:] - after[:, :-2]).mean() < 4 < np.abs(before - after).mean()


def test_training_reads_what_was_prepared(prepared: Path, tmp_path: Path) -> None:
    clips = TrainingClips(
        TrainingClipsConfig(manifest=prepared, crop=16, frames=4, video_access="av", cache=tmp_path)
    )
    assert [path.name for path in clips.photos.paths] == ["good.png"]
    assert {len(np.load(run)) for run in clips.videos.videos[0]} <= {9, 15}
    assert clips[0]["hr"].shape == (3, 4, 64, 64)


def pairs(prepared: Path, folder: Path, **changes: object) -> dict[str, object]:
    arguments = {"split": None, "degradation": old_film_config(), "frames": 3, "max_side": 96}
    return write_pairs(read_manifest(prepared), folder, **(arguments | changes))  # pyright: ignore


def test_pairs_are_the_same_each_time_and_their_hashes_say_so(
    prepared: Path, tmp_path: Path
) -> None:
    first, second = pairs(prepared, tmp_path / "a"), pairs(prepared, tmp_path / "b")
    assert first == second
    assert len(first["pairs"]) == 3
    for name in first["pairs"]:
        hq, lq = (list_images(tmp_path / "a" / name / side) for side in ("hq", "lq"))
        assert len(hq) == len(lq) == (1 if "good" in name else 3)
        assert read_image(hq[0]).shape == (96, 96, 3)
        assert read_image(lq[0]).shape == (24, 24, 3)


def test_pairs_that_are_there_stay_and_are_checked(prepared: Path, tmp_path: Path) -> None:
    written = pairs(prepared, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert pairs(prepared, tmp_path) == written
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    with pytest.raises(InputError, match="pairs of other settings"):
        pairs(prepared, tmp_path, seed=1)
    changed = next(path for path in times if path.parent.name == "lq")
    cv2.imwrite(str(changed), np.zeros((24, 24, 3), np.uint8))
    with pytest.raises(InputError, match=r"lq does not hold the pixels that pairs\.json names"):
        pairs(prepared, tmp_path)


def test_pairs_broken_off_go_on(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pairs(prepared, tmp_path / "whole")
    calls = 0

    def breaking(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return degrade(*args, **kwargs)  # pyright: ignore

    degrade = pairs_module.degrade
    monkeypatch.setattr(pairs_module, "degrade", breaking)
    with pytest.raises(KeyboardInterrupt):
        pairs(prepared, tmp_path / "broken")
    assert pairs(prepared, tmp_path / "broken") == whole
    assert calls == 4  # one of them in vain


def test_a_sheet_has_a_row_for_each_clip() -> None:
    clips = [np.stack([texture(64, 80, seed)] * 3) for seed in range(2)]
    sheet = example_sheet(clips, config=DegradationConfig())
    assert sheet.shape == (2 * (64 + 18), 4 * 80, 3)
    np.testing.assert_array_equal(sheet[18:82, :80], clips[0][0])


def test_the_commands_work_in_sequence(
    media: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "clips.parquet")
    assert probe_script.main([str(media / "photos"), path, "--test", "1"]) == 0
    assert filter_script.main([path, "--min-side", "64"]) == 0
    assert "4 clips, 1 of them kept\n  kept: 1 test images" in capsys.readouterr().out
    pairs_folder = tmp_path / "pairs"
    assert degrade_script.main([path, str(pairs_folder), "--split", "test"]) == 0
    assert len(json.loads((pairs_folder / "pairs.json").read_text())["pairs"]) == 1
    sheet = str(tmp_path / "sheet.png")
    assert degrade_script.main([path, "--grid", sheet, "--degradation", "old_film"]) == 0
    assert read_image(Path(sheet)).shape == (200 + 18, 4 * 240, 3)


def test_a_command_says_in_one_line_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe_script.main([str(tmp_path / "none"), "clips.parquet"]) == 1
    assert filter_script.main([str(tmp_path / "none.parquet")]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "is not a folder" in errors[0]
    assert "no manifest" in errors[1]


def test_a_manifest_without_kept_clips_makes_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no kept clips"):
        write_pairs(Manifest(tmp_path, ()), tmp_path, split="test", degradation=DegradationConfig())


def test_shots_become_files_of_their_own(media: Path, prepared: Path, tmp_path: Path) -> None:
    pytest.importorskip("ffmpeg")
    pytest.importorskip("imageio_ffmpeg")
    from vsr.training.preparation.commands import split as split_script

    path = tmp_path / "clips.parquet"
    limits = dataclasses.replace(LIMITS, duplicate_bits=-1)
    filter_clips(prepared, path, config=limits)
    arguments = [str(path), "--write", str(tmp_path / "shots"), "--max-side", "80"]
    assert split_script.main(arguments) == 0
    files = sorted((tmp_path / "shots").glob("*.mp4"))
    found = probe_folder(tmp_path / "shots", tmp_path / "new.parquet", shares={})
    assert [(row.frames, row.width) for row in found] == [(15, 80), (9, 80)]
    blue = clip_frames(list(found)[1], tmp_path / "shots").mean((1, 2))
    assert (blue[:, 2] > 2 * blue[:, 0]).all()
    times = [file.stat().st_mtime_ns for file in files]
    assert split_script.main(arguments) == 0
    assert [file.stat().st_mtime_ns for file in files] == times
