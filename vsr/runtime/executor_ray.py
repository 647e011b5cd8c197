"""The engine of an executor whose workers are actors of Ray; no other file knows Ray.

A cluster that is started here listens on the loopback address alone and wants a token, which only
the processes of this run have. It has no dashboard, and sends no statistics.
"""

import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsr import __version__
from vsr.errors import ConfigError, DependencyError, DeviceError, first_line, install_extra
from vsr.runtime.child_processes import import_path
from vsr.runtime.executor_files import ReadFile
from vsr.runtime.executor_worker import Lost, Message, Ready, Run

_log = logging.getLogger(__name__)

_AUTO = "auto"
_REACH_SECONDS = 5.0
_START_SECONDS = 120.0
"""A cluster whose workers are all busy with other jobs may take long; then it is said."""
_POLL_SECONDS = 1.0
_STORE_BYTES = 128 << 20
"""Object store of a cluster started here, whose workers see all files: results are small."""
_PIECES_AHEAD = 2
"""Pieces of a file that wait in the object store for the worker that takes them."""


class RayEngine:
    """Starts actors on a cluster, which is started here if there is none; see `Engine`."""

    def __init__(self, address: str, *, cpus: int, gpus: bool) -> None:
        running = _running(address)
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        if running is None:
            _close_to_others()
        self._ray = _import_ray()
        self._connect(running)
        try:
            self.size, self._resources = self._room(cpus, gpus)
        except BaseException:
            self.close()
            raise

    @property
    def read_file(self) -> ReadFile:
        """A function that reads files of this machine on any other; see `Engine`."""
        return _ReadFile(self._ray.get_runtime_context().get_node_id())

    def start(self) -> "_RayWorker":
        """Start a worker; see `Engine`."""
        return _RayWorker(self._ray, self._resources)

    def receive(self, workers: Sequence["_RayWorker"]) -> Iterator[tuple["_RayWorker", Message]]:
        """Wait for messages; see `Engine`."""
        while True:
            waitables = [worker.waitable for worker in workers]
            ready, _ = self._ray.wait(waitables, timeout=_POLL_SECONDS, fetch_local=True)
            if ready:
                break
            _check_start(workers)
        for worker in workers:
            if any(worker.waitable is one for one in ready):
                yield worker, worker.receive()

    def close(self) -> None:
        """End the cluster, if it was started here; else leave it."""
        self._ray.shutdown()

    def _connect(self, address: str | None) -> None:
        here: dict[str, Any] = {"object_store_memory": _STORE_BYTES, "include_dashboard": False}
        try:
            with _same_imports(), _own_sigterm():
                self._ray.init(
                    address=address or "local",
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                    configure_logging=False,
                    namespace="vsr",
                    **({} if address else here),
                )
        except (OSError, RuntimeError, ValueError, self._ray.exceptions.RayError) as error:
            where = f"the cluster at {address}" if address else "Ray on this machine"
            raise DeviceError(
                f"{where} cannot be used: {first_line(error)}; ray status says more"
            ) from error

    def _room(self, cpus: int, gpus: bool) -> tuple[int, dict[str, float]]:
        """Return how many workers the machines have room for, and what each worker takes."""
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        gpus = gpus and any(machine.get("GPU", 0) for machine in machines)
        most = max((int(machine.get("CPU", 0)) for machine in machines), default=0)
        each = {"CPU": float(min(cpus, most)), **({"GPU": 1.0} if gpus else {})}
        size = 0
        if most:
            size = sum(
                min(int(machine.get(name, 0) // count) for name, count in each.items())
                for machine in machines
            )
        if not size:
            raise DeviceError(f"the cluster has no machine with {_in_words(each)} for a worker")
        return size, each


class _RayWorker:
    def __init__(self, ray: Any, resources: dict[str, float]) -> None:
        self._ray = ray
        self._began = time.monotonic()
        self._about: Ready | None = None
        self._actor = (
            ray.remote(_actor_class())
            .options(num_cpus=resources["CPU"], num_gpus=resources.get("GPU", 0), max_restarts=0)
            .remote()
        )
        self.waitable = self._actor.hello.remote()

    @property
    def waits_since(self) -> float | None:
        """The time at which the worker was asked for, if it has not come."""
        return self._began if self._about is None else None

    def send(self, run: Run[Any, Any], task: Any) -> None:
        method = self._actor.run.options(num_returns="streaming")
        self.waitable = method.remote(run, task)

    def receive(self) -> Message:
        try:
            if self._about is None:
                self._about = Ready(*self._ray.get(self.waitable))
                _check_version(self._about)
                return self._about
            return self._ray.get(next(self.waitable))
        except self._ray.exceptions.RayTaskError:
            raise  # a fault of ours
        except self._ray.exceptions.RayError as error:
            return Lost(f"{self._about or 'a worker'} was lost ({type(error).__name__})")

    def end(self) -> None:
        with suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(self._actor)


@dataclass(frozen=True, slots=True)
class _ReadFile:
    """Reads files of a machine; their pieces come through the object store, a few at a time."""

    node: str

    def __call__(self, path: Path) -> Iterator[bytes]:
        ray = _import_ray()
        place = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(self.node, soft=False)
        read = ray.remote(_reader()).options(
            num_cpus=0,
            max_retries=0,
            num_returns="streaming",
            scheduling_strategy=place,
            _generator_backpressure_num_objects=_PIECES_AHEAD,
        )
        try:
            for piece in read.remote(str(path)):
                yield ray.get(piece)
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            raise OSError(getattr(cause, "strerror", None) or first_line(cause)) from error


def _reader() -> Callable[[str], Iterator[bytes]]:
    """Return the function of tasks that read files, which Ray sends by value, as the actors."""

    def read(path: str) -> Iterator[bytes]:
        from pathlib import Path

        from vsr.runtime.executor_files import read_file

        yield from read_file(Path(path))

    return read


def _actor_class() -> type:
    """Return the class of actors, which Ray sends by value: a machine without vsr can say so."""

    class VsrWorker:
        def hello(self) -> tuple[str | None, str, int]:
            import os
            import socket

            try:
                from vsr import __version__ as version
            except ImportError:
                version = None
            return version, socket.gethostname(), os.getpid()

        def run(self, run: Any, task: Any) -> Iterator[Any]:
            """Yield messages; the work has a thread of its own, always the same."""
            from concurrent.futures import ThreadPoolExecutor
            from queue import SimpleQueue

            from vsr.runtime.executor_worker import Ended, Lost, TaskRunner

            if not hasattr(self, "runner"):
                self.runner, self.pool = TaskRunner(), ThreadPoolExecutor(1)
            messages = SimpleQueue[Any]()
            self.pool.submit(self.runner.run, run, task, messages.put)
            while True:
                message = messages.get()
                yield message
                if isinstance(message, Ended | Lost):
                    return

    return VsrWorker


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise DependencyError(
            f"--cluster needs Ray, which is not installed: {install_extra('cluster')}"
        ) from error
    return ray


def _running(address: str) -> str | None:
    """Return the address of a running cluster; None to start one here."""
    if address != _AUTO:
        if not _is_reached(address):
            raise DeviceError(
                f"the cluster at {address} cannot be reached: start it there with ray start "
                "--head, or give --cluster auto to start Ray on this machine"
            )
        return address
    found = os.environ.get("RAY_ADDRESS") or _noted_address()
    return found if found and _is_reached(found) else None


def _noted_address() -> str | None:
    """Return the address that `ray start` has noted on this machine."""
    root = os.environ.get("RAY_TMPDIR") or ("/tmp" if os.name == "posix" else tempfile.gettempdir())
    with suppress(OSError):
        return (Path(root) / "ray" / "ray_current_cluster").read_text().strip()
    return None


def _is_reached(address: str) -> bool:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ConfigError(f"--cluster {address} is not understood; it can be auto or HOST:PORT")
    try:
        socket.create_connection((host, int(port)), _REACH_SECONDS).close()
    except OSError:
        return False
    return True


def _close_to_others() -> None:
    """Let a cluster that is started here listen on the loopback address, and want a token.

    Ray reads both when it is imported. The first one is what makes it listen there, despite its
    name on Linux too.
    """
    if "ray" in sys.modules and "RAY_AUTH_TOKEN" not in os.environ:
        _log.warning(
            "Ray was imported before vsr could close it to others: whoever reaches its ports "
            "can run code here"
        )
        return
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


@contextmanager
def _same_imports() -> Generator[None]:
    """Let processes that are started here import what this one does."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(import_path())
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


@contextmanager
def _own_sigterm() -> Generator[None]:
    """Keep our own handler of SIGTERM, which Ray would replace."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _check_version(about: Ready) -> None:
    if about.version != __version__:
        has = f"vsr {about.version}" if about.version else "no vsr"
        raise DependencyError(
            f"the worker on {about.machine} has {has}, and this machine {__version__}: install "
            "the same version on all machines of the cluster"
        )


def _check_start(workers: Sequence[_RayWorker]) -> None:
    """Raise DeviceError if nothing runs, and the cluster has had no room for a worker for long."""
    waits = [worker.waits_since for worker in workers]
    since = [began for began in waits if began is not None]
    if len(since) == len(waits) and time.monotonic() - min(since) > _START_SECONDS:
        raise DeviceError(
            f"the cluster had no room for a worker within {_START_SECONDS:.0f} s: wait for its "
            "other jobs, or add a machine"
        )


def _in_words(resources: dict[str, float]) -> str:
    return " and ".join(f"{count:g} {name}" for name, count in resources.items())
