"""Standard output for messages alone."""

import subprocess
import sys

CODE = """
import os
from vsr.runtime.standard_streams import own_stdout
channel = os.fdopen(own_stdout(), "w")
print("of Python", flush=True)
os.write(1, b"of a library")
channel.write("a message")
"""


def test_what_prints_does_not_write_into_the_messages() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.stdout == "a message"
    assert done.stderr == "of Python\nof a library"
