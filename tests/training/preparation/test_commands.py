"""The commands of `vsr data`: each has a help, and a script of the same name."""

import subprocess
import sys
from pathlib import Path

import pytest

from vsr.cli import main
from vsr.training.preparation.commands import COMMANDS

ROOT = Path(__file__).parents[3]
SCRIPTS = {name: name for name in COMMANDS} | {"split": "split_shots"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_its_help(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["data", name, "--help"]) == 0
    text = capfd.readouterr().out
    assert text.startswith(f"usage: vsr data {name} ")
    assert f"\n    vsr data {name} " in text


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_data_names_every_command(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "--help"]) == 0
    assert f"vsr data {name} " in capfd.readouterr().out


def test_an_unknown_command_is_one_line_that_suggests_the_right_one(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["data", "prob", "media"]) == 2
    assert "unknown command data prob; did you mean probe" in capfd.readouterr().err


def test_a_fault_of_the_input_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "probe", str(tmp_path / "none"), str(tmp_path / "clips.parquet")]) == 1
    assert "is not a folder" in capfd.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("script", sorted(SCRIPTS.values()))
def test_every_script_of_a_clone_runs(script: str) -> None:
    command = [sys.executable, f"data_prep/{script}.py", "--help"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith(f"usage: {script}.py ")
