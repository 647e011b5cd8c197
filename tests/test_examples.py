"""The Python examples of README and documentation run as they stand, from any folder."""

import logging
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_example_runs_from_any_folder_and_says_nothing(page, tmp_path, monkeypatch, capfd):
    (code,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.M | re.S)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # those of commands in this process
    names: dict[str, object] = {}
    exec(compile(code, page, "exec"), names)
    assert names["result"].frames.shape == (4, 144, 256, 3)
    assert names["picture"].size == (256, 144)
    assert capfd.readouterr() == ("", "")
