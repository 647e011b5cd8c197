"""The peak of a program is its own, not that of the one that started it."""

import subprocess
import sys

import numpy as np

from vsr.runtime.memory import peak_resident_bytes

MEASURE = "from vsr.runtime.memory import peak_resident_bytes; print(peak_resident_bytes())"


def test_the_peak_of_a_new_program_does_not_begin_with_that_of_its_parent() -> None:
    large = np.ones(200 << 20, np.uint8)
    child = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, check=True)
    assert large.nbytes < peak_resident_bytes()
    assert int(child.stdout) < 100 << 20
