"""What a run would do, against what the run then does; and what is refused before it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from vsr.cli import main
from vsr.config import UpscaleConfig
from vsr.errors import ConfigError, DeviceError, InputError, OutputError
from vsr.jobs.job import Job
from vsr.jobs.planning import plan as plan_module
from vsr.jobs.planning.plan import Plan, drawn_frames, plan, scan
from vsr.jobs.preview import preview
from vsr.jobs.upscale import upscale
from vsr.upscaling.sizes import Size
from vsr.video.reading.reader import VideoReader


@pytest.fixture(scope="module")
def config(tiny_model: Path) -> UpscaleConfig:
    return UpscaleConfig(model=str(tiny_model), device="cpu", dtype="float32", max_clip_frames=4)


@pytest.fixture(scope="module")
def found(source: Path, config: UpscaleConfig) -> Plan:
    return plan(source, source.with_name("out.mkv"), config)


def test_the_run_makes_what_was_planned(
    source: Path, found: Plan, config: UpscaleConfig, tmp_path: Path
) -> None:
    report = upscale(source, tmp_path / found.output.name, config)
    assert (found.frames, found.size) == (report.frames, report.size)
    # Four, and the other six halved.
    assert (found.shots, found.clips, found.is_exact) == (1, 3, True)
    assert (found.codec, found.pix_fmt) == ("x264", "yuv420p")


def test_a_plan_leaves_nothing_behind(source: Path, found: Plan) -> None:
    assert list(source.parent.iterdir()) == [source]


def test_a_plan_foresees_time_memory_and_disk(source: Path, found: Plan) -> None:
    need = found.forecast
    assert need.seconds > 0
    assert need.least_host_bytes <= need.host_bytes
    assert psutil.Process().memory_info().rss / 2 < need.host_bytes < found.memory_total
    # Ten pictures of 128x96: more than a hundred bytes each and less than as raw pixels.
    assert 1000 < need.output_bytes < 10 * 3 * 96 * 128
    assert need.device_bytes is None
    assert found.refusal is None


def test_a_plan_is_said_in_words_and_for_programs(found: Plan) -> None:
    rows = dict(line.split(maxsplit=1) for line in str(found).splitlines())
    assert rows["output"].endswith("out.mkv: 128x96, x264 yuv420p")
    assert rows["clips"] == "3, of at most 4 frames"
    assert "audio aac" in str(found)
    values = json.loads(found.to_json())
    assert (values["width"], values["height"], values["frames"]) == (128, 96, 10)
    (sound,) = values["streams"]
    assert (sound["kind"], sound["kept"], sound["reason"]) == ("audio", True, None)
    assert values["refusal"] is None
    assert values["seconds"] == found.forecast.seconds


def test_a_long_film_is_told_from_its_beginning(
    source: Path, config: UpscaleConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "_SCAN_SECONDS", 0)
    begun = scan(replace(Job.of(source, None, config), clip_frames=4))
    assert (begun.frames, begun.clips, begun.is_whole) == (4, 1, False)
    assert begun.scaled(40) == (10, 10)
    whole = plan(source, None, config)
    assert (whole.frames, whole.is_exact) == (10, False)
    assert "about 10" in str(whole)


def test_the_sample_is_a_longest_clip_and_not_from_the_beginning(
    source: Path, config: UpscaleConfig
) -> None:
    sample = scan(
        replace(Job.of(source, None, config), clip_frames=3)
    ).sample  # of clips of 3, 3, 2 and 2 frames
    assert (sample.first_frame_index, len(sample.frames)) == (3, 3)


def test_cuts_are_counted(tmp_path: Path, config: UpscaleConfig) -> None:
    for number in range(9):
        color = [(250, 10, 10), (10, 250, 10), (10, 10, 250)][number // 3]
        picture = np.full((16, 16, 3), color, np.uint8)
        picture[0, 0] = number  # no frame repeats the one before
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    begun = scan(replace(Job.of(tmp_path, None, config), clip_frames=2))
    assert (begun.frames, begun.shots, begun.clips) == (9, 3, 6)


def test_frames_that_repeat_the_one_before_are_told_and_cost_nothing(
    source: Path, config: UpscaleConfig, found: Plan, tmp_path: Path, caplog
) -> None:
    pictures = tmp_path / "twice"
    pictures.mkdir()
    with VideoReader(source) as reader:
        for number, frame in enumerate(reader):
            for name in (2 * number, 2 * number + 1):
                cv2.imwrite(str(pictures / f"{name:02}.png"), frame.pixels[..., ::-1])
    begun = scan(Job.of(pictures, None, config))
    assert (begun.frames, begun.clips, begun.repeated) == (20, 3, 0.5)
    assert [len(begun.sample.frames), len(begun.sample.pictures)] == [8, 4]
    once = replace(found, repeated=begun.repeated)
    assert "frames 10, of which 50 % repeat the one before" in " ".join(str(once).split())
    assert json.loads(once.to_json())["repeated_share"] == 0.5
    with caplog.at_level("INFO"):
        upscale(pictures, tmp_path / "out.mkv", replace(config, fps="25"))
    assert "10 of 20 frames (50.0 %) repeat the one before" in caplog.text


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("missing/out.mkv", "make it first"),
        ("out.webm", r"write to \.mkv"),
        ("clip.mp4", "the source itself"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_at_once(
    source: Path, config: UpscaleConfig, output: str, says: str
) -> None:
    with pytest.raises(OutputError, match=says):
        plan(source, source.parent / output, config)


def test_what_cannot_be_read_or_is_out_of_range_is_refused_at_once(
    source: Path, config: UpscaleConfig, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="does not exist"):
        plan(tmp_path / "missing.mp4", None, config)
    with pytest.raises(InputError, match="past the end"):
        plan(source, None, replace(config, start=99))
    with pytest.raises(ConfigError, match="scale = 9"):
        plan(source, None, replace(config, scale=9))


def test_too_little_room_is_a_refusal(found: Plan) -> None:
    full = replace(found, disk_free=found.forecast.disk_bytes - 1)
    assert isinstance(full.refusal, OutputError)
    assert "free some, choose another folder" in str(full.refusal)
    assert json.loads(full.to_json())["refusal"] == str(full.refusal)
    small = replace(found, memory_total=found.forecast.least_host_bytes - 1)
    assert isinstance(small.refusal, DeviceError)
    assert "even clips of one frame" in str(small.refusal)
    need = replace(found.forecast, device_bytes=9, least_device_bytes=8)
    assert isinstance(replace(found, forecast=need, device_total=7).refusal, DeviceError)
    assert replace(found, forecast=need, device_total=8).refusal is None


def test_memory_that_others_use_is_a_warning(found: Plan) -> None:
    assert replace(found, memory_free=found.forecast.host_bytes).warning is None
    busy = replace(found, memory_free=found.forecast.host_bytes - 1)
    assert "--max-clip-frames 2" in str(busy.warning)
    assert str(busy.warning) in str(busy)


def arguments(command: str, source: Path, output: Path, config: UpscaleConfig) -> list[str]:
    options = ["--model", config.model, "--device", "cpu", "--dtype", "float32"]
    return [command, str(source), str(output), *options]


def test_a_dry_run_is_a_plan(
    source: Path, config: UpscaleConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = arguments("upscale", source, tmp_path / "out.mkv", config)
    assert main([*command, "--dry-run"]) == 0
    assert "frames    10" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_plan_without_room_ends_with_an_error(
    source: Path,
    config: UpscaleConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = type("Usage", (), {"free": 5})
    monkeypatch.setattr(plan_module.shutil, "disk_usage", lambda path: usage)
    command = arguments("plan", source, tmp_path / "out.mkv", config)
    assert main([*command, "--json"]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["disk_free"] == 5
    assert "has room for 0 MB" in said.err


# The preview


def test_a_preview_is_a_slice_with_a_page_and_a_picture_to_compare(
    source: Path, config: UpscaleConfig, tmp_path: Path
) -> None:
    output = tmp_path / "out.mkv"
    for _ in range(2):  # the second replaces the first
        made = preview(source, output, replace(config, start=0.1, lossless=True), seconds=0.2)
        assert [path.name for path in tmp_path.iterdir()] == [".vsr_previews"]
        names = {path.name for path in (tmp_path / ".vsr_previews").iterdir()}
        assert names == {"out.preview.mkv", "out.preview.png", "out.preview.html"}
    assert made.report.size == Size(96, 128)
    with VideoReader(made.report.output) as reader:
        large = [frame.pixels for frame in reader]
    with VideoReader(source, start=0.1, duration=0.2) as reader:
        small = [frame.pixels for frame in reader]
    assert len(large) == len(small)
    cubic = [cv2.resize(one, (128, 96), interpolation=cv2.INTER_CUBIC) for one in small]
    picture = cv2.imread(str(made.picture), cv2.IMREAD_COLOR_RGB)
    bar, gap = 28, 8
    rows = [picture[top : top + 96] for top in range(bar, picture.shape[0], bar + 96 + gap)]
    assert len(rows) == 3
    for row in rows:  # left bicubic, right the result, of one frame
        (number,) = [n for n, one in enumerate(large) if np.array_equal(row[:, 128 + gap :], one)]
        assert np.array_equal(row[:, :128], cubic[number])


@pytest.mark.parametrize("given", ["0.2", "0.2s"])
def test_the_command_makes_a_preview_and_stops(
    source: Path,
    config: UpscaleConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    given: str,
) -> None:
    command = arguments("upscale", source, tmp_path / "out.mkv", config)
    assert main([*command, "--preview", given]) == 0
    assert "out.preview.png" in capsys.readouterr().out
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize("given", ["soon", "0", "-1s", "inf"])
def test_a_preview_of_no_seconds_is_refused(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["upscale", "in.mp4", f"--preview={given}"]) == 2
    assert f"--preview {given} is not understood" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "drawn"),
    [
        ({}, 3 + 97 / 16),
        ({"texture": "none"}, 0.0),
        ({"texture_strength": 0.0}, 0.0),
        ({"keyframes": "10"}, 10.0),
        ({"keyframes": "1000"}, 3.0),
        ({"model": "realesr-general-x4v3"}, 0.0),
    ],
)
def test_frames_that_are_drawn_for_their_texture(options: dict[str, Any], drawn: float) -> None:
    assert drawn_frames(UpscaleConfig(**options), frames=100, shots=3) == pytest.approx(drawn)


# A batch


def test_the_plan_of_a_folder_says_each_film_and_the_time_of_all(
    source: Path, config: UpscaleConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("a.mp4", "c.mp4"):
        shutil.copy(source, folder / name)
    (folder / "b.mp4").write_text("no film")
    command = arguments("plan", folder, tmp_path / "out", config)
    assert main(command) == 1
    shown = capsys.readouterr()
    assert f"source  {folder / 'b.mp4'}: FAILED" in shown.out
    assert "films  2 to upscale, 1 that cannot be upscaled" in shown.out
    assert " in all" in shown.out
    assert "1 of 3 films cannot be upscaled, as listed" in shown.err
    assert [path.name for path in tmp_path.iterdir()] == ["films"]
    (folder / "b.mp4").unlink()
    assert main([*command, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["films"]) == 2


def test_a_preview_of_a_folder_asks_for_one_film(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    shutil.copy(source, folder / "a.mp4")
    assert main(["upscale", str(folder), "--preview", "2s"]) == 1
    assert f"a preview is of one: name it, as {folder / 'a.mp4'}" in capsys.readouterr().err
