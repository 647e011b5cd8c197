"""The ends of other processes in words, and what they may import."""

import sys
from pathlib import Path

import pytest

from vsr.runtime.child_processes import end_in_words, import_path


@pytest.mark.parametrize(
    ("code", "words"), [(0, "exit code 0"), (3, "exit code 3"), (-9, "SIGKILL"), (-99, "signal 99")]
)
def test_an_end_is_told_by_its_exit_code_or_its_signal(code: int, words: str) -> None:
    assert end_in_words(code) == words


def test_an_empty_folder_of_imports_is_the_one_of_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", ["", "/elsewhere"])
    monkeypatch.chdir(tmp_path)
    assert import_path() == [str(tmp_path), "/elsewhere"]
