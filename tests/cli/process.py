"""The command line as a process of its own."""

import subprocess
import sys


def run_vsr(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "vsr", *arguments], capture_output=True, text=True)
