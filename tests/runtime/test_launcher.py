"""The end of a process that a launcher started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import atexit, os
from vsr.runtime.launcher import end_launched
atexit.register(os.abort)
print("done")
end_launched()
"""


@pytest.mark.parametrize(("world", "ends_well"), [("2", True), ("1", False)])
def test_a_launched_process_ends_before_python_can_abort_its_end(world: str, ends_well: bool):
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, "WORLD_SIZE": world},
        stdout=subprocess.PIPE,
        check=False,
    )
    assert (ended.returncode == 0) == ends_well
    assert not ends_well or ended.stdout == b"done\n"
