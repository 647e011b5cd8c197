"""One timed run of a method, in a process of its own, so that its peak memory is its own."""

import platform
import resource
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from vsr.evaluation.benchmark.methods import Interpolation, Method
from vsr.video.probe import probe
from vsr.video.reading.reader import VideoReader
from vsr.video.writing.encoders import EncoderSettings
from vsr.video.writing.output_file import write_video

_INTERPOLATIONS = {"bicubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}


@dataclass(frozen=True, slots=True)
class Timing:
    """The cost of a run. `seconds` does not count the loading of the model; `first_seconds` does.

    `first_seconds` ends when the first frames are written. `peak_bytes` is memory of the GPU where
    there is one, else of the process.
    """

    frames: int
    pixels: int
    seconds: float
    first_seconds: float
    peak_bytes: int
    machine: str


def timed_run(method: Method, source: Path, output: Path, *, scale: int) -> Timing:
    """Enlarge a clip into `output` (lossless, replaced) in a new process, and return the cost."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_run, method, source, output, scale).result()


def _run(method: Method, source: Path, output: Path, scale: int) -> Timing:
    if method.interpolation is not None:
        return _interpolate(method.interpolation, source, output, scale)
    return _upscale(method, source, output)


def _interpolate(kind: Interpolation, source: Path, output: Path, scale: int) -> Timing:
    info = probe(source)
    size = (scale * info.width, scale * info.height)
    first: list[float] = []
    began = time.monotonic()

    def frames() -> Generator[tuple[np.ndarray, int]]:
        with VideoReader(info) as reader:
            for frame in reader:
                large = cv2.resize(frame.pixels, size, interpolation=_INTERPOLATIONS[kind])
                yield np.asarray(large, frame.pixels.dtype), frame.pts
                first.append(time.monotonic() - began)

    settings = EncoderSettings(codec="ffv1")
    count = write_video(frames(), output, source=info, size=size, settings=settings, overwrite=True)
    seconds = time.monotonic() - began
    pixels = size[0] * size[1]
    return Timing(count, pixels, seconds, first[0], _peak_resident(), _cpu())


def _upscale(method: Method, source: Path, output: Path) -> Timing:
    import torch

    from vsr.jobs.upscale import upscale
    from vsr.runtime.device import choose_device
    from vsr.runtime.memory import keep_freed_memory

    assert method.config is not None
    keep_freed_memory()
    device = choose_device(method.config.device)
    first: list[float] = []
    began = time.monotonic()

    @contextmanager
    def note_first(total: int | None) -> Generator[Callable[[int], None]]:
        del total
        yield lambda frames: first.append(time.monotonic() - began)

    report = upscale(source, output, method.config, progress=note_first)
    on_gpu = device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() if on_gpu else _peak_resident()
    machine = torch.cuda.get_device_name() if on_gpu else _cpu()
    pixels = report.size.width * report.size.height
    return Timing(report.frames, pixels, report.seconds, first[0], peak, machine)


def _peak_resident() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _cpu() -> str:
    """The processor and the number of threads that PyTorch takes."""
    import torch

    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    return f"{name}, {torch.get_num_threads()} threads"
