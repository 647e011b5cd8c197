"""Threads keep ordinary scheduling, whatever a library sets."""

import os
import threading
from pathlib import Path

import av
import numpy as np
import pytest

from vsr.runtime.scheduling import ordinary_threads
from vsr.video.recompress import recompress

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="Linux only")


@pytest.fixture(autouse=True)
def ordinary_before() -> None:
    """Other tests may have opened SVT-AV1 themselves."""
    for path in Path("/proc/self/task").iterdir():
        os.sched_setscheduler(int(path.name), os.SCHED_OTHER, os.sched_param(0))


def policies() -> set[int]:
    found: set[int] = set()
    for path in Path("/proc/self/task").iterdir():
        found.add(os.sched_getscheduler(int(path.name)))
    return found


def test_a_thread_made_real_time_in_the_block_is_not_afterwards() -> None:
    own = threading.get_native_id()
    with ordinary_threads():
        try:
            os.sched_setscheduler(own, os.SCHED_FIFO, os.sched_param(1))
        except PermissionError:
            pytest.skip("only root may make threads real-time")
    assert os.sched_getscheduler(own) == os.SCHED_OTHER


@pytest.mark.skipif("libsvtav1" not in av.codecs_available, reason="no SVT-AV1 in this FFmpeg")
def test_no_thread_is_real_time_after_av1() -> None:
    frames = np.zeros((2, 64, 64, 3), np.uint8)
    recompress(frames, codec="av1", options={"crf": 40})
    assert policies() == {os.SCHED_OTHER}
