"""One timed run of a method, in a process of its own, so that its peak memory is its own."""

import platform
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from vsr.config import UpscaleConfig
from vsr.errors import DeviceError
from vsr.evaluation.benchmark.methods import Method
from vsr.evaluation.meters import Picture
from vsr.ops.interpolate import interpolated
from vsr.runtime.memory import keep_freed_memory, peak_resident_bytes
from vsr.video.pixels import as_uint8
from vsr.video.probe import probe
from vsr.video.reading.reader import VideoReader
from vsr.video.writing.encoders import EncoderSettings
from vsr.video.writing.output_file import write_video

if TYPE_CHECKING:
    import torch

Enlarge = Callable[[Iterator[Picture], tuple[int, int]], Iterator[Picture]]
"""Makes large frames of a width and height from small ones."""


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
    """Enlarge a clip into `output` (lossless, replaced) in a new process, and return the cost.

    Raises DeviceError if the system ends the process.
    """
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(_run, method, source, output, scale).result()
    except BrokenProcessPool as error:
        raise DeviceError(
            f"the run of {method.name} on {source} was ended by the system, as when memory runs "
            "out; leave it out by --models, or use a larger machine"
        ) from error


def _run(method: Method, source: Path, output: Path, scale: int) -> Timing:
    if method.config is not None:
        return _upscale(method.config, source, output)
    if method.animesr is not None:
        return _animesr(Path(method.animesr), source, output)
    kind = method.interpolation
    assert kind is not None

    def enlarge(pictures: Iterator[Picture], size: tuple[int, int]) -> Iterator[Picture]:
        return (interpolated(picture, size, kind) for picture in pictures)

    return _stream(enlarge, source, output, scale)


def _animesr(weights: Path, source: Path, output: Path) -> Timing:
    from vsr.evaluation.benchmark.animesr import SCALE, enlarged
    from vsr.runtime.device import choose_device

    device = choose_device("auto")

    def by_network(pictures: Iterator[Picture], size: tuple[int, int]) -> Iterator[Picture]:
        return enlarged(pictures, weights, device, size=size)

    timing = _stream(by_network, source, output, SCALE)
    return replace(timing, peak_bytes=_peak(device), machine=_machine(device))


def _stream(enlarge: Enlarge, source: Path, output: Path, scale: int) -> Timing:
    """Time a method that makes frames one by one; the loading of its weights counts."""
    info = probe(source)
    size = (scale * info.width, scale * info.height)
    first: list[float] = []
    times: list[int] = []
    began = time.monotonic()

    def frames() -> Iterator[tuple[Picture, int]]:
        with VideoReader(info) as reader:

            def pictures() -> Iterator[Picture]:
                for frame in reader:
                    times.append(frame.pts)
                    yield as_uint8(frame.pixels)

            for number, large in enumerate(enlarge(pictures(), size)):
                yield large, times[number]
                first.append(time.monotonic() - began)

    settings = EncoderSettings(codec="ffv1")
    source_8bit = replace(info, pix_fmt="rgb24")
    count = write_video(
        frames(), output, source=source_8bit, size=size, settings=settings, overwrite=True
    )
    seconds = time.monotonic() - began
    return Timing(count, size[0] * size[1], seconds, first[0], peak_resident_bytes(), _cpu())


def _upscale(config: UpscaleConfig, source: Path, output: Path) -> Timing:
    from vsr.jobs.upscale import upscale
    from vsr.runtime.device import choose_device

    keep_freed_memory()
    device = choose_device(config.device)
    first: list[float] = []
    began = time.monotonic()

    @contextmanager
    def note_first(total: int | None) -> Generator[Callable[[int], None]]:
        del total
        yield lambda frames: first.append(time.monotonic() - began)

    report = upscale(source, output, config, progress=note_first)
    pixels = report.size.width * report.size.height
    peak, machine = _peak(device), _machine(device)
    return Timing(report.frames, pixels, report.seconds, first[0], peak, machine)


def _peak(device: "torch.device") -> int:
    import torch

    return torch.cuda.max_memory_allocated() if device.type == "cuda" else peak_resident_bytes()


def _machine(device: "torch.device") -> str:
    import torch

    return torch.cuda.get_device_name() if device.type == "cuda" else _cpu()


def _cpu() -> str:
    """The processor and the number of threads that PyTorch takes."""
    from vsr.runtime.device import threads_in_words

    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    return f"{name}, {threads_in_words()}"
