"""A run that ends before its time goes on where it stopped, to the same bytes."""

import itertools
import json
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.jobs.resume.kills import (
    CLIP_FRAMES,
    SHOTS,
    film_pictures,
    kill_at_random,
    make_film,
    start,
)
from tests.jobs.resume.standin import EchoModel
from vsr.config import UpscaleConfig
from vsr.errors import ConfigError, OutputError
from vsr.jobs.resume import shot_store
from vsr.jobs.resume.identity import differences, options_identity, source_identity
from vsr.jobs.resume.journal import read_facts
from vsr.jobs.resume.own_files import work_path
from vsr.jobs.upscale import upscale
from vsr.video.reading.clips import Clip

CONFIG = UpscaleConfig(max_clip_frames=CLIP_FRAMES)


class Stop(Exception):  # noqa: N818
    """Ends a run from inside, as a crash that leaves time for nothing but the clip under way."""


def stop_at(clip_number: int) -> Callable[[Clip], None]:
    """Stops a run when it begins its clip of that number."""
    numbers = itertools.count()

    def begin(clip: Clip) -> None:
        if next(numbers) == clip_number:
            raise Stop

    return begin


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4")


@pytest.fixture(scope="module")
def whole(film: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What an undisturbed run makes of the film."""
    output = tmp_path_factory.mktemp("whole") / "out.mp4"
    upscale(film, output, CONFIG, model=EchoModel())
    return output.read_bytes()


def break_off(film: Path, output: Path, config: UpscaleConfig = CONFIG, *, clip: int = 7) -> Path:
    """Run until a clip; returns the folder with what was finished."""
    with pytest.raises(Stop):
        upscale(film, output, config, model=EchoModel(stop_at(clip)))
    assert not output.exists()
    return output.with_name(f"{output.name}.vsr")


def frame_times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def test_killed_at_random_moments_a_run_ends_in_the_same_bytes(tmp_path: Path) -> None:
    """Lost at most: the clip in the making and the one that is being written."""
    tally = kill_at_random(tmp_path, kills=4, seed=3)
    assert tally.kills == 4
    assert tally.most_lost <= 2


@pytest.mark.slow
def test_killed_a_hundred_times_a_run_ends_in_the_same_bytes(tmp_path: Path) -> None:
    tally = kill_at_random(tmp_path, kills=100, seed=0)
    assert tally.most_lost <= 2


@pytest.mark.parametrize(
    ("name", "clip"), [("out.mp4", 1), ("out.mkv", 3), ("out.webm", 10), ("out", 14), ("o.mp4", 15)]
)
def test_a_run_that_stops_at_a_clip_goes_on_with_it(tmp_path: Path, name: str, clip: int) -> None:
    film = make_film(tmp_path / "film.mp4", SHOTS)
    if name.endswith("webm"):
        _without_sound(film)
    whole, output = tmp_path / f"whole_{name}", tmp_path / name
    upscale(film, whole, CONFIG, model=EchoModel())
    break_off(film, output, clip=clip)
    begun: list[int] = []
    upscale(
        film, output, CONFIG, model=EchoModel(lambda clip: begun.append(clip.first_frame_index))
    )
    assert _content(output) == _content(whole)
    assert len(begun) == 16 - clip


@pytest.mark.parametrize("codec", ["x265", "ffv1", "prores"])
def test_every_codec_goes_on_to_the_same_bytes(tmp_path: Path, film: Path, codec: str) -> None:
    config = replace(CONFIG, codec=codec)
    name = "out.mov" if codec == "prores" else "out.mkv"
    upscale(film, tmp_path / f"whole_{name}", config, model=EchoModel())
    break_off(film, tmp_path / name, config)
    upscale(film, tmp_path / name, config, model=EchoModel())
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole_{name}").read_bytes()


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    shots=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    gaps=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    clip_frames=st.integers(1, 7),
    stops=st.lists(st.integers(0, 6), max_size=2),
)
def test_count_and_times_of_frames_are_the_source_s_whatever_the_cuts_clips_and_stops(
    tmp_path_factory: pytest.TempPathFactory,
    shots: list[int],
    gaps: list[int],
    clip_frames: int,
    stops: list[int],
) -> None:
    folder = tmp_path_factory.mktemp("property")
    film, output = make_film(folder / "film.mp4", shots, gaps=gaps), folder / "out.mp4"
    config = replace(CONFIG, max_clip_frames=clip_frames)
    for clip in stops:
        try:
            upscale(film, output, config, model=EchoModel(stop_at(clip)))
        except Stop:
            continue
        break
    if not output.exists():
        upscale(film, output, config, model=EchoModel())
    assert frame_times(output) == frame_times(film)
    assert len(frame_times(output)) == sum(shots)


def test_it_says_that_it_goes_on(
    tmp_path: Path, film: Path, caplog: pytest.LogCaptureFixture
) -> None:
    break_off(film, tmp_path / "out.mp4", clip=5)
    with caplog.at_level(logging.INFO):
        upscale(film, tmp_path / "out.mp4", CONFIG, model=EchoModel())
    assert "going on: 17 frames finished in" in caplog.text


@pytest.mark.parametrize(
    ("changes", "model", "says"),
    [
        ({"seed": 3}, "echo", "seed was 0 and is 3"),
        ({"crf": 30}, "echo", "crf was not set and is 30"),
        ({"max_clip_frames": 5}, "echo", "max_clip_frames was 4 and is 5"),
        ({}, "another", "content of the model was echo and is another"),
    ],
)
def test_a_changed_parameter_is_named_and_nothing_is_lost(
    tmp_path: Path, film: Path, whole: bytes, changes: dict, model: str, says: str
) -> None:
    output = tmp_path / "out.mp4"
    break_off(film, output)
    with pytest.raises(ConfigError, match=says):
        upscale(film, output, replace(CONFIG, **changes), model=EchoModel(name=model))
    upscale(film, output, CONFIG, model=EchoModel())
    assert output.read_bytes() == whole


def test_a_changed_source_is_named(tmp_path: Path) -> None:
    film, output = make_film(tmp_path / "film.mp4"), tmp_path / "out.mp4"
    break_off(film, output)
    make_film(film, (9, 14, 6, 17, 6))
    with pytest.raises(ConfigError, match="content of the source was "):
        upscale(film, output, CONFIG, model=EchoModel())


def test_a_source_that_is_touched_or_moved_is_not_changed(
    tmp_path: Path, film: Path, whole: bytes
) -> None:
    copy, output = tmp_path / "film.mp4", tmp_path / "out.mp4"
    shutil.copy(film, copy)
    break_off(copy, output)
    os.utime(copy)
    upscale(copy.rename(tmp_path / "moved.mp4"), output, CONFIG, model=EchoModel())
    assert output.read_bytes() == whole


def test_a_folder_of_pictures_may_have_the_output_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, picture in enumerate(film_pictures((9, 8))):
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    upscale(folder, tmp_path / "out.mp4", CONFIG, model=EchoModel())
    break_off(folder, folder / "out.mp4", clip=3)
    upscale(folder, folder / "out.mp4", CONFIG, model=EchoModel())
    assert (folder / "out.mp4").read_bytes() == (tmp_path / "out.mp4").read_bytes()


def test_a_change_anywhere_in_a_small_source_and_at_both_ends_of_a_large_one_is_seen(
    tmp_path: Path,
) -> None:
    path = tmp_path / "film"
    for size, places in ((1000, (0, 500, 999)), (100_000_000, (0, 99_999_999))):
        with path.open("wb") as file:
            file.truncate(size)
        before = source_identity(path)
        for place in places:
            with path.open("r+b") as file:
                file.seek(place)
                file.write(b"1")
            after = source_identity(path)
            assert differences(before, after)
            before = after


def test_a_change_between_the_pieces_of_a_large_source_is_seen_by_its_time(tmp_path: Path) -> None:
    path = tmp_path / "film"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    before = source_identity(path)
    with path.open("r+b") as file:
        file.seek(1 << 18)
        file.write(b"1")
    assert [change.split(" was ")[0] for change in differences(before, source_identity(path))] == [
        "time of change of the source"
    ]


def test_the_versions_of_libraries_that_decide_bytes_are_in_the_identity() -> None:
    found = options_identity(CONFIG, version="1")
    assert (found["version of av"], found["version of numpy"]) == (av.__version__, np.__version__)


def test_restart_begins_anew(tmp_path: Path, film: Path) -> None:
    output = tmp_path / "out.mp4"
    break_off(film, output)
    begun: list[int] = []
    config = replace(CONFIG, crf=30, restart=True)
    upscale(film, output, config, model=EchoModel(lambda clip: begun.append(len(clip.frames))))
    assert sum(begun) == sum(SHOTS)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_run_in_which_nothing_was_finished_leaves_nothing(tmp_path: Path, film: Path) -> None:
    break_off(film, tmp_path / "out.mp4", clip=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [".part", ".pixels", ".state"])
def test_damaged_work_is_made_again(tmp_path: Path, film: Path, whole: bytes, kind: str) -> None:
    output = tmp_path / "out.mp4"
    folder = break_off(film, output)
    for path in folder.rglob(f"*{kind}"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    try:
        upscale(film, output, CONFIG, model=EchoModel())
    except OutputError as error:  # a part of a finished shot, which only joining reads
        assert "are damaged" in str(error)
        upscale(film, output, CONFIG, model=EchoModel())
    assert output.read_bytes() == whole


def test_a_line_that_was_torn_by_a_crash_does_no_harm(
    tmp_path: Path, film: Path, whole: bytes
) -> None:
    output = tmp_path / "out.mp4"
    folder = break_off(film, output)
    for path in folder.glob("0*.jsonl"):
        path.write_bytes(path.read_bytes()[:-9])
    upscale(film, output, CONFIG, model=EchoModel())
    assert output.read_bytes() == whole


def test_a_run_that_died_between_the_last_two_steps_is_finished(
    tmp_path: Path, film: Path, whole: bytes
) -> None:
    output = tmp_path / "out.mp4"
    folder = break_off(film, output)
    output.write_bytes(whole)
    (folder / "joined.json").write_text(json.dumps({"file": output.stat().st_ino}) + "\n")
    report = upscale(film, output, CONFIG, model=EchoModel())
    assert "is whole" in str(report)
    assert list(tmp_path.iterdir()) == [output]


def test_an_output_that_appeared_meanwhile_is_not_replaced(tmp_path: Path, film: Path) -> None:
    output = tmp_path / "out.mp4"
    folder = break_off(film, output)
    output.write_text("precious")
    with pytest.raises(OutputError, match="exists"):
        upscale(film, output, CONFIG, model=EchoModel())
    assert output.read_text() == "precious"
    assert folder.is_dir()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_the_work_and_says_how_to_go_on(
    tmp_path: Path, film: Path, whole: bytes, end: signal.Signals
) -> None:
    output, log = tmp_path / "out.mp4", tmp_path / "log"
    running = start(film, output, "--pace", "0.1", "--log", str(log))
    while not log.exists() or len(log.read_text().splitlines()) < 4:
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(end)
    _, error = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "frames are kept in" in error
    assert "the same command goes on" in error
    upscale(film, output, CONFIG, model=EchoModel())
    assert output.read_bytes() == whole


def _content(path: Path) -> list[bytes]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [file.read_bytes() for file in files]


def _without_sound(film: Path) -> None:
    silent = film.with_name("silent.mp4")
    with av.open(str(film)) as given, av.open(str(silent), "w") as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    silent.replace(film)


def test_a_part_that_was_due_when_the_run_was_killed_is_closed_before_the_next_clip(
    tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With parts of 8 frames: a keyframe that moved would change the bytes."""
    monkeypatch.setattr(shot_store, "PART_FRAMES", 8)
    whole, output = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    upscale(film, whole, CONFIG, model=EchoModel())

    def killed(self: object, *facts: object) -> None:
        raise Stop

    for _ in range(3):
        with monkeypatch.context() as patch, pytest.raises(Stop):
            patch.setattr(shot_store.ShotWork, "_close_part", killed)
            upscale(film, output, CONFIG, model=EchoModel())
    upscale(film, output, CONFIG, model=EchoModel())
    assert output.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("name", ["../film.mp4", "/etc/passwd", "", ".."])
def test_a_journal_that_names_a_path_names_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / "journal"
    file = {"name": name, "size": 1, "sha256": ""}
    fact = {"fact": "clip", "first": 0, "frames": 1, "state": file, "pixels": None}
    path.write_text(json.dumps(fact) + '\n[]\n{"fact": "other"}\n{"fact": "end"}\n')
    assert read_facts(path) == []


def test_an_output_that_appears_during_the_run_is_not_replaced(
    tmp_path: Path, film: Path, whole: bytes
) -> None:
    output = tmp_path / "out.mp4"
    with pytest.raises(OutputError, match="appeared during the run and is not replaced"):
        upscale(film, output, CONFIG, model=EchoModel(lambda _: output.write_text("precious")))
    assert output.read_text() == "precious"
    assert (work_path(output) / "partial.mp4").read_bytes() == whole
    begun: list[Clip] = []
    upscale(film, output, replace(CONFIG, overwrite=True), model=EchoModel(begun.append))
    assert output.read_bytes() == whole
    assert not begun


def test_a_folder_of_pictures_that_holds_the_source_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    source = folder / "cat.png"
    cv2.imwrite(str(source), next(film_pictures((1,))))
    config = replace(CONFIG, codec="png", overwrite=True)
    with pytest.raises(OutputError, match="holds the source"):
        upscale(source, folder, config, model=EchoModel())
    assert source.exists()
