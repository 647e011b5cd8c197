import hashlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import psutil
import pytest

from tests.processes import wait_for_end
from tests.runtime.tasks import counting, dying, hash_of, noting, square
from vsr.errors import ConfigError, DependencyError, DeviceError, InputError
from vsr.runtime.executor import Executor, WorkerOptions, open_executor

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
"""Not by an import, which vsr itself must do first, to close Ray to others."""
ROOT = Path(__file__).parents[2]
ENGINES = {
    "processes": WorkerOptions(processes=2),
    "ray": WorkerOptions(cluster="auto"),
}
slow = pytest.mark.slow


@pytest.fixture(
    scope="module",
    params=["processes", pytest.param("ray", marks=(slow, needs_ray))],
    name="executor",
)
def workers(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with open_executor(ENGINES[request.param]) as executor:
        yield executor


def test_in_this_process_results_come_in_order_and_an_error_is_of_its_task_alone() -> None:
    with open_executor(WorkerOptions()) as executor:
        done = list(executor.map(square, [2, -1, 3]))
    assert [one.task for one in done] == [2, -1, 3]
    assert (done[0].value(), done[2].value()) == (4, 9)
    with pytest.raises(InputError, match="-1 is negative"):
        done[1].value()


def test_in_this_process_the_work_is_made_once_and_tells() -> None:
    told: list[tuple[str, str]] = []
    with open_executor(WorkerOptions()) as executor:
        done = list(executor.run(counting, "ab", told=lambda task, it: told.append((task, it))))
    assert [one.value() for one in done] == [(os.getpid(), 1), (os.getpid(), 2)]
    assert told == [("a", "a begins"), ("b", "b begins")]


@slow
@needs_ray
def test_a_cluster_started_here_listens_on_the_loopback_address_alone() -> None:
    with open_executor(ENGINES["ray"]) as executor:
        list(executor.map(square, range(4)))
        found = set[tuple[str, str]]()
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                places = process.net_connections("tcp")
                listening = [place for place in places if place.status == psutil.CONN_LISTEN]
                found |= {(process.name(), place.laddr.ip) for place in listening}
    assert found
    assert {ip for _, ip in found} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, found


@slow
@needs_ray
def test_workers_of_another_version_are_refused_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsr.runtime.executor_ray.__version__", "0.0.1")
    with (
        pytest.raises(DependencyError, match=f"worker on {socket.gethostname()} has vsr .* 0.0.1"),
        open_executor(WorkerOptions(cluster="auto")) as executor,
    ):
        list(executor.map(square, [1]))


def test_workers_read_files_of_the_machine_that_waits(executor: Executor, tmp_path: Path) -> None:
    content = bytes(range(251)) * 150_000  # three pieces
    (tmp_path / "file").write_bytes(content)
    read = partial(hash_of, executor.read_file)
    done = {one.task.name: one for one in executor.map(read, [tmp_path / "file", tmp_path / "no"])}
    assert done["file"].value() == hashlib.sha256(content).hexdigest()
    with pytest.raises(OSError, match="No such file"):
        done["no"].value()


def test_workers_give_the_same_results_and_errors(executor: Executor) -> None:
    done = {one.task: one for one in executor.map(square, [2, -1, 3, 4, 5])}
    assert {task: one.value() for task, one in done.items() if task > 0} == {
        2: 4, 3: 9, 4: 16, 5: 25,
    }  # fmt: skip
    with pytest.raises(InputError, match="-1 is negative"):
        done[-1].value()


def test_work_is_made_once_in_each_worker_and_it_tells_and_logs(
    executor: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []
    with caplog.at_level(logging.INFO, "vsr"):
        done = list(executor.run(counting, "abcdef", told=lambda task, value: told.append(value)))
    processes = {process for process, _ in (one.value() for one in done)}
    assert os.getpid() not in processes
    assert len(processes) <= executor.workers
    last = dict(sorted(one.value() for one in done))
    assert sum(last.values()) == 6
    assert sorted(told) == [f"{name} begins" for name in "abcdef"]
    assert sorted(caplog.messages) == [f"at {name}" for name in "abcdef"]


def test_tasks_are_taken_one_by_one_so_that_they_may_be_endless(executor: Executor) -> None:
    numbers = count()
    with closing(executor.map(square, numbers)) as results:
        assert {next(results).value() for _ in range(5)} <= {n * n for n in range(8)}
    assert next(numbers) < 5 + 2 * executor.workers


def test_a_worker_that_dies_is_replaced_and_its_task_runs_again(
    executor: Executor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done = list(executor.run(partial(dying, tmp_path, 2), "abcd"))
    assert sorted(one.value() for one in done) == ["a", "b", "c", "d"]
    assert sum("runs again" in message for message in caplog.messages) == 2


def test_a_task_that_no_worker_survives_fails_in_one_line(
    executor: Executor, tmp_path: Path
) -> None:
    (done,) = executor.run(partial(dying, tmp_path, 99), "a")
    with pytest.raises(DeviceError, match="3 workers died at it"):
        done.value()


def test_leaving_the_results_early_ends_the_workers(executor: Executor, tmp_path: Path) -> None:
    began: list[str] = []

    def told(task: str, value: str) -> None:
        began.append(value)
        if len(began) == executor.workers:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(executor.run(partial(noting, tmp_path), "abcdef", told=told))
    wait_for_end([int(path.read_text()) for path in tmp_path.iterdir()])


@pytest.mark.parametrize(
    "options",
    [pytest.param(ENGINES["processes"]), pytest.param(ENGINES["ray"], marks=needs_ray)],
    ids=list(ENGINES),
)
@slow
def test_workers_end_when_the_process_that_waits_for_them_is_killed(
    tmp_path: Path, options: WorkerOptions
) -> None:
    code = (
        "from functools import partial; from pathlib import Path\n"
        "from tests.runtime.tasks import noting\n"
        "from vsr.runtime.executor import WorkerOptions, open_executor\n"
        "if __name__ == '__main__':\n"
        f"    with open_executor({options!r}) as executor:\n"
        f"        list(executor.run(partial(noting, Path({str(tmp_path)!r})), 'ab'))\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    seen = tmp_path / "a"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, str(script)], cwd=ROOT, env=environment) as process:
        deadline = time.monotonic() + 120
        while not (seen.exists() and seen.read_text()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        started = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_for_end([int(seen.read_text())])
    wait_for_end(started, 180)  # two helpers of Ray try for a minute to report its end


def test_a_missing_ray_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(DependencyError, match=r"\[cluster\]"),
        open_executor(WorkerOptions(cluster="auto")),
    ):
        pass


def test_a_cluster_that_cannot_be_reached_is_named() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with (
            pytest.raises(DeviceError, match=f"cluster at {address} cannot be reached"),
            open_executor(WorkerOptions(cluster=address)),
        ):
            pass


@pytest.mark.parametrize("address", ["nonsense", "host:", "host:99999999", ":80"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with (
        pytest.raises(ConfigError, match="can be auto or HOST:PORT"),
        open_executor(WorkerOptions(cluster=address)),
    ):
        pass
