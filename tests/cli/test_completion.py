"""Completion of the shell: the scripts are whole, and bash completes by them."""

import shutil
import subprocess

import pytest

from tests.cli.process import run_vsr
from tests.test_imports import loaded_after
from vsr.cli import main


def script(shell: str, capfd: pytest.CaptureFixture[str]) -> str:
    pytest.importorskip("shtab")
    assert main(["--print-completion", shell]) == 0
    return capfd.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_shell_takes_the_script(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capfd)
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    done = subprocess.run([shell, "-n"], input=text, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


def completed(text: str, *words: str) -> list[str]:
    """The words that bash offers for the last one of a command line."""
    line = " ".join(words)
    ask = (
        f"COMP_WORDS=({line}); [[ '{words[-1]}' ]] || COMP_WORDS+=('')\n"
        "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n"
        f"COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}\n"
        "$(complete -p vsr | sed 's/.*-F \\([^ ]*\\) .*/\\1/') vsr\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(["bash"], input=text + ask, text=True, capture_output=True)
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_commands_options_and_values(capfd: pytest.CaptureFixture[str]) -> None:
    text = script("bash", capfd)
    assert completed(text, "vsr", "up") == ["upscale"]
    assert "--texture-strength" in completed(text, "vsr", "upscale", "--text")
    assert completed(text, "vsr", "upscale", "--codec", "pror") == ["prores"]


def test_another_shell_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["--print-completion", "fish"], ["--print-completion"]):
        assert main(words) == 2
        assert capfd.readouterr().err.count("\n") == 1
    assert main(["--print-completion=bsh"]) == 2
    assert "did you mean bash?" in capfd.readouterr().err


def test_the_help_does_not_load_what_completes() -> None:
    assert "shtab" not in loaded_after('from vsr.cli import main\nmain(["--help"])')


def test_the_module_is_the_command() -> None:
    assert run_vsr("--version").stdout.startswith("vsr 0.")
