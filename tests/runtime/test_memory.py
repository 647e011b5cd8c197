"""The peak of a program is its own, and what it has freed goes back on demand."""

import subprocess
import sys

import numpy as np

from vsr.runtime.memory import peak_resident_bytes

HOLES = """
import platform, psutil
from vsr.runtime.memory import keep_freed_memory, release_freed_memory
keep_freed_memory()
resident = psutil.Process().memory_info
blocks = [b"x" * (1 << 20) for _ in range(200)]
kept = blocks[1::2]
del blocks
before = resident().rss
release_freed_memory()
print(before - resident().rss if platform.libc_ver()[0] == "glibc" else 100 << 20)
"""
MEASURE = "from vsr.runtime.memory import peak_resident_bytes; print(peak_resident_bytes())"


def test_the_peak_of_a_new_program_does_not_begin_with_that_of_its_parent() -> None:
    large = np.ones(200 << 20, np.uint8)
    child = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, check=True)
    assert large.nbytes < peak_resident_bytes()
    assert int(child.stdout) < 100 << 20


def test_holes_between_blocks_in_use_go_back_to_the_kernel() -> None:
    child = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, check=True)
    assert int(child.stdout) > 90 << 20
