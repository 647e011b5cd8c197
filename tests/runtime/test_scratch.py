"""Temporary folders go with their process."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from vsr.runtime.scratch import ScratchFolder

_FILL = """
import os
from vsr.runtime.scratch import ScratchFolder
folder = ScratchFolder()
(folder.path / "file").touch()
print(folder.path, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_folder_is_removed_when_it_is_closed() -> None:
    with ScratchFolder() as folder:
        (folder.path / "file").touch()
    assert not folder.path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="it has no SIGKILL")
def test_a_folder_is_removed_when_its_process_is_killed() -> None:
    killed = subprocess.run([sys.executable, "-c", _FILL], capture_output=True, text=True)
    assert killed.returncode == -9
    path, deadline = Path(killed.stdout.strip()), time.monotonic() + 20
    while path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
