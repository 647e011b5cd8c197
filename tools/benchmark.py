"""Time `vsr upscale` on a clip, or each saving of a published model, and print a table.

    python tools/benchmark.py vsr/assets/sample.mp4 --size 180x144 --frames 60 --threads 2
    python tools/benchmark.py --model FOLDER --size 32x32 --frames 24 --steps 2 --rows plain,exact

With a clip: the time of each stage. `--size` and `--frames` change the clip first, so that two
machines do the same work. Decoding and encoding run in threads beside the networks, so the stages
can take more seconds together than the whole run.

Without a clip: one row for each saving (see savings.py), on a moving picture of random colours.
"""

import json
import platform
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import cycle, islice
from pathlib import Path

import cv2
import torch
from rich.console import Console
from rich.table import Table
from savings import Savings, flat, rows, table

from vsr.config import UpscaleConfig
from vsr.jobs.upscale import UpscaleReport, upscale
from vsr.runtime.device import choose_device, choose_dtype, threads_in_words
from vsr.runtime.memory import keep_freed_memory, peak_resident_bytes
from vsr.runtime.timing import StageTimer
from vsr.video.probe import probe
from vsr.video.reading.reader import VideoReader
from vsr.video.writing.encoders import EncoderSettings
from vsr.video.writing.output_file import write_video


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The result of a timed run; its seconds do not count the loading of the model."""

    machine: str
    report: UpscaleReport
    stages: dict[str, float]
    peak_gigabytes: float

    @property
    def frames_per_second(self) -> float:
        return self.report.frames / self.report.seconds


def main(argv: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.source is None:
        _print_savings(options)
        return
    config = UpscaleConfig(
        model=options.model,
        steps=options.steps,
        propagation_steps=options.propagation_steps,
        device=options.device,
        dtype=options.dtype,
        max_clip_frames=options.max_clip_frames,
    )
    with tempfile.TemporaryDirectory() as folder:
        source = _prepared(options, Path(folder))
        if not options.cold:
            _run(source, Path(folder) / "warm.mp4", config)
        benchmark = _run(source, Path(folder) / "out.mp4", config)
    if options.json:
        print(json.dumps(_flat(benchmark)))
    else:
        Console().print(_table(benchmark))


def _parser() -> ArgumentParser:
    defaults = UpscaleConfig()
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "source", type=Path, nargs="?", help="clip; without one, the savings of --model"
    )
    parser.add_argument("--size", metavar="WxH", help="resize the source (default: as it is)")
    parser.add_argument("--frames", type=int, help="cut or repeat the source to this length")
    parser.add_argument("--model", default=defaults.model, help="as for vsr upscale")
    parser.add_argument("--steps", type=int, help="denoising steps (default: the model's)")
    parser.add_argument("--propagation-steps", help="as for vsr upscale")
    parser.add_argument("--device", default=defaults.device, help="default: auto")
    parser.add_argument("--dtype", default=defaults.dtype, help="default: auto")
    parser.add_argument("--max-clip-frames", type=int, default=defaults.max_clip_frames)
    parser.add_argument("--threads", type=int, help="threads of PyTorch (default: all cores)")
    parser.add_argument("--cold", action="store_true", help="skip the warm-up run")
    parser.add_argument("--rows", help="savings: rows to run, separated by commas")
    parser.add_argument("--repeats", type=int, default=1, help="savings: keep the best of N runs")
    parser.add_argument("--warm", action="store_true", help="savings: one warm-up step first")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    return parser


def _print_savings(options: Namespace) -> None:
    keep_freed_memory()
    device = choose_device(options.device)
    savings = Savings(options, device, choose_dtype(options.dtype, device))
    known = rows(device, savings.base)
    default = [name for name, row in known.items() if not row.compiled]
    names = options.rows.split(",") if options.rows else default
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"there is no row {unknown[0]} here; rows: {', '.join(known)}")
    results = savings.measure(names, repeats=options.repeats, warm=options.warm)
    if options.json:
        print(json.dumps(flat(results)))
    else:
        Console(width=120).print(table(results, savings))


def _prepared(options: Namespace, folder: Path) -> Path:
    """Return the source, or a copy of it with the size and length of the options."""
    if options.size is None and options.frames is None:
        return options.source
    info = probe(options.source)
    width, height = map(int, options.size.split("x")) if options.size else (info.width, info.height)
    with VideoReader(options.source) as reader:
        frames = [
            cv2.resize(frame.pixels, (width, height), interpolation=cv2.INTER_AREA)
            for frame in islice(reader, options.frames)
        ]
    there_and_back = cycle(frames + frames[-2:0:-1])
    path = folder / "source.mp4"
    step = round(1 / (info.average_rate * info.time_base)) if info.average_rate else 1
    settings = EncoderSettings(codec="x264", crf=10)
    chosen = islice(there_and_back, options.frames or len(frames))
    timed = ((pixels, info.start_pts + number * step) for number, pixels in enumerate(chosen))
    write_video(timed, path, source=info, size=(width, height), settings=settings)
    return path


def _run(source: Path, output: Path, config: UpscaleConfig) -> Benchmark:
    device = choose_device(config.device)
    on_cuda = device.type == "cuda"
    timer = StageTimer(synchronize=torch.cuda.synchronize if on_cuda else None)
    if on_cuda:
        torch.cuda.reset_peak_memory_stats()
    report = upscale(source, output, config, timer=timer)
    dtype = str(choose_dtype(config.dtype, device)).removeprefix("torch.")
    name = torch.cuda.get_device_name() if on_cuda else threads_in_words()
    machine = f"{device.type} ({name}), {dtype}, torch {torch.__version__}, {platform.machine()}"
    peak = torch.cuda.max_memory_allocated() if on_cuda else peak_resident_bytes()
    return Benchmark(machine, report, timer.seconds, peak / 1e9)


def _table(benchmark: Benchmark) -> Table:
    report = benchmark.report
    title = f"{report.frames} frames to {report.size.width}x{report.size.height}: "
    title += f"{benchmark.frames_per_second:.2f} frames/s"
    table = Table("stage", title=title, caption=f"{benchmark.machine}, {date.today()}")
    for heading in ("seconds", "ms/frame", "share"):
        table.add_column(heading, justify="right")
    for row in _rows(benchmark):
        table.add_row(*row)
    table.add_section()
    table.add_row("whole run", *_columns(report.seconds, report), end_section=True)
    table.add_row("peak memory", f"{benchmark.peak_gigabytes:.2f} GB")
    return table


def _rows(benchmark: Benchmark) -> Iterator[tuple[str, ...]]:
    for stage, seconds in benchmark.stages.items():
        yield stage, *_columns(seconds, benchmark.report)


def _columns(seconds: float, report: UpscaleReport) -> tuple[str, str, str]:
    per_frame = 1000 * seconds / report.frames
    return f"{seconds:.2f}", f"{per_frame:.1f}", f"{seconds / report.seconds:.0%}"


def _flat(benchmark: Benchmark) -> dict[str, object]:
    report = benchmark.report
    return {
        "machine": benchmark.machine,
        "frames": report.frames,
        "size": [report.size.width, report.size.height],
        "seconds": report.seconds,
        "frames_per_second": benchmark.frames_per_second,
        "peak_gigabytes": benchmark.peak_gigabytes,
        "stages": benchmark.stages,
    }


if __name__ == "__main__":
    main()
