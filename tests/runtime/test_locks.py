"""One process holds a lock, and loses it when it ends, however it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vsr.runtime import locks
from vsr.runtime.locks import is_locked, lock_owner, take_lock

HOLD = """
import sys
from pathlib import Path
from vsr.runtime.locks import take_lock
lock = take_lock(Path(sys.argv[1]))
lock.describe(rank=3)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_is_held_once_and_free_after_its_release(tmp_path: Path) -> None:
    lock = take_lock(tmp_path / "lock")
    assert lock is not None
    assert is_locked(tmp_path / "lock")
    assert take_lock(tmp_path / "lock") is None
    lock.release()
    assert not is_locked(tmp_path / "lock")
    assert not is_locked(tmp_path / "missing")


def test_a_killed_process_loses_its_lock_and_its_file_still_names_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert take_lock(path) is None
    holder.kill()
    holder.communicate()
    assert not is_locked(path)
    assert lock_owner(path)["process"] == holder.pid
    assert lock_owner(path)["rank"] == 3
    assert take_lock(path) is not None


def test_a_lock_whose_folder_was_moved_is_not_in_place(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    lock = take_lock(tmp_path / "folder" / "lock")
    assert lock is not None
    assert lock.is_in_place()
    (tmp_path / "folder").rename(tmp_path / "moved")
    assert not lock.is_in_place()


def test_a_disk_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(38, os.strerror(38))

    monkeypatch.setattr(locks, "_lock_now", refuse)
    assert take_lock(tmp_path / "lock") is not None
    assert f"the disk of {tmp_path} has no locks" in caplog.text
    assert is_locked(tmp_path / "lock")
