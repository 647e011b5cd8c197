"""A temporary folder that goes with its process, however that ends."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

_REMOVE_AT_END = """
import os, shutil, sys
if hasattr(os, "fork") and os.fork():
    os._exit(0)
sys.stdin.buffer.read()
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""
"""A child of its own that waits until the pipe from its maker ends, as it does at `kill -9` too.
It forks first, since Ray kills the children of a worker that ends."""


class ScratchFolder:
    """An empty folder, removed by `close` or when this process ends. A context manager."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="vsr-"))
        self._remover = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _REMOVE_AT_END, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the folder."""
        assert self._remover.stdin is not None
        shutil.rmtree(self.path, ignore_errors=True)
        self._remover.stdin.close()
        self._remover.wait()
