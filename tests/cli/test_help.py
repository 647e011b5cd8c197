"""Help and version."""

import os
import re

import pytest

from tests.cli.process import run_vsr
from vsr import __version__
from vsr.cli import main
from vsr.cli.commands import COMMANDS
from vsr.option_values import GROUPS


def test_help_is_a_word_too(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "info"]) == 0
    assert capfd.readouterr().out.startswith("usage: vsr info")
    assert main(["help"]) == 0


def test_the_version_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capfd.readouterr().out == f"vsr {__version__}\n"


@pytest.mark.parametrize("columns", ["80", "120"])
@pytest.mark.parametrize("command", [*COMMANDS])
def test_help_fits_the_terminal_and_shows_no_noise_of_the_parser(
    command: str, columns: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert main([command, "--help"]) == 0
    text = capfd.readouterr().out
    assert max(map(len, text.splitlines())) <= int(columns)
    assert not re.search(r"type:|null|Union|Literal|required|--[a-z-]+\+", text)
    assert len(re.findall(rf"^  vsr {command} ", text, flags=re.MULTILINE)) >= 2


def test_help_lists_the_options_by_group(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["upscale", "--help"]) == 0
    text = capfd.readouterr().out
    places = [text.index(f"\n{group}:\n") for group in (*GROUPS, "examples")]
    assert places == sorted(places)


def test_help_names_the_commands_in_half_a_second() -> None:
    best = min(_seconds("--help") for _ in range(3))
    assert best < 0.5


def test_help_shows_every_option_with_hyphens(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["upscale", "--help"]) == 0
    flags = set(re.findall(r"--[a-z-]+", capfd.readouterr().out))
    named = "model scale height steps noise-level guidance-scale prompt negative-prompt"
    named += " propagation-steps seed device dtype segment-length max-clip-frames tile color"
    named += " codec crf lossless start duration config overwrite tolerant restart"
    assert {f"--{name}" for name in named.split()} <= flags


def _seconds(*arguments: str) -> float:
    """Processor time, since the clock also counts other programs."""
    began = os.times()
    assert run_vsr(*arguments).returncode == 0
    ended = os.times()
    user, system = (
        getattr(ended, name) - getattr(began, name) for name in ("children_user", "children_system")
    )
    return user + system
