"""Progress is a bar in a terminal and a plain line elsewhere."""

import pytest

from vsr.jobs import progress
from vsr.jobs.progress import no_progress, show_progress


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
