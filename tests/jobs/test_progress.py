"""Progress is a bar in a terminal and a plain line elsewhere."""

import logging
from functools import partial

import pytest

from vsr.cli.log import CurrentStderrHandler
from vsr.jobs import progress
from vsr.jobs.clip_ticks import ClipTicks
from vsr.jobs.progress import BatchClock, Meter, no_progress, show_progress
from vsr.jobs.worker import _reach  # pyright: ignore[reportPrivateUsage]
from vsr.runtime.timing import NullTimer


def test_without_a_terminal_there_are_plain_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    with show_progress(4) as advance:
        advance(1)
        advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[1].startswith("vsr: 2/4 frames, ")
    assert lines[1].endswith(" s left")


def test_an_unknown_total_has_no_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    with show_progress(None) as advance:
        advance(3)
    assert capsys.readouterr().err.startswith("vsr: 3 frames, ")


def test_a_terminal_gets_a_bar_with_frames(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with show_progress(4) as advance:
        advance(4)
    assert "4/4 frames" in capsys.readouterr().err


def test_silence_is_possible(capsys: pytest.CaptureFixture[str]) -> None:
    with no_progress(4) as advance:
        advance(4)
    assert capsys.readouterr().err == ""


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that stands still, so that a loaded machine changes no figure."""
    monkeypatch.setattr(progress.time, "monotonic", lambda: 1000.0)


@pytest.mark.usefixtures("stopped_clock")
def test_the_rate_of_a_run_that_goes_on_is_its_own() -> None:
    meter = Meter(100)
    meter(90, is_new=False)
    meter.reach(90)
    meter.began -= 2  # two seconds ago
    meter(4)
    assert str(meter).startswith("94/100 frames, 2.00 frames/s, 3 s left")


@pytest.mark.usefixtures("stopped_clock")
def test_more_frames_than_were_expected_show_no_total_and_no_time_left() -> None:
    meter = Meter(2)
    meter(3)
    meter.began -= 1
    assert str(meter) == "3 frames, 3.00 frames/s"


def test_the_bar_moves_within_a_clip_from_the_second_clip_on() -> None:
    meter, shares = Meter(32), list[float]()
    ticks = ClipTicks(NullTimer())
    for end in (16, 32):
        ticks.begin(partial(_reach, meter, end, 16))
        for _ in range(4):
            with ticks("U-Net"):
                pass
            shares.append(meter.position)
    assert shares == [0, 0, 0, 0, 20, 24, 28, 32]


@pytest.mark.usefixtures("stopped_clock")
def test_a_film_of_a_batch_shows_its_place_and_the_time_of_all() -> None:
    clock = BatchClock((100, 100, 200))
    clock.note_made(0)
    clock.began -= 10
    meter = Meter(40, clock.place(1))
    meter(20)
    meter.began -= 4
    # 150 bytes took 10 s, and 250 are left.
    assert str(meter) == "film 2 of 3, 20/40 frames, 5.00 frames/s, 4 s left, about 17 s in all"


@pytest.mark.usefixtures("stopped_clock")
def test_long_times_are_in_hours() -> None:
    meter = Meter(10_001)
    meter(1)
    meter.began -= 1
    assert str(meter).endswith("2:46:40 left")


def test_log_lines_do_not_tear_the_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    handler = CurrentStderrHandler()
    with show_progress(4) as advance:
        advance(2)
        handler.emit(logging.makeLogRecord({"msg": "a line"}))
        advance(2)
    rows = capsys.readouterr().err.splitlines()
    assert [row for row in rows if "a line" in row and "frames" in row] == []
    assert any(row.endswith("a line") for row in rows)
