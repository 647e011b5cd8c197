"""The process that upscales the films of a batch, asked by messages alone."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vsr.config import UpscaleConfig
from vsr.jobs.films import BatchFilm
from vsr.jobs.supervision.messages import Failed, Setup, receive, send
from vsr.runtime.executor_worker import Logged
from vsr.runtime.launcher import Ranks

CODE = "from vsr.jobs.supervision.film_server import serve\nserve()"
CONFIG = UpscaleConfig(model="bicubic")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_between_two_films_ends_it_without_a_word(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin and process.stdout and process.stderr
    with process:
        send(process.stdin, Setup(CONFIG, {}, Ranks(), logging.ERROR))
        send(process.stdin, BatchFilm(tmp_path / "missing.mp4", tmp_path / "out.mp4"))
        answer = receive(process.stdout)
        while isinstance(answer, Logged):
            answer = receive(process.stdout)
        assert isinstance(answer, Failed)
        process.send_signal(number)
        assert process.wait(20) == 0  # though its input has not ended
        assert process.stderr.read() == b""
