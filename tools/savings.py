"""Measure each saving of a published model: one row of the table per saving."""

import ctypes
import platform
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import torch
import torch.nn.functional as F
from plain_loop import PlainRun, plain_latents
from rich.table import Table
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vsr.checkpoints.load import load_pipeline
from vsr.models.unet import UNetVideoModel
from vsr.ops.noise import frame_noise
from vsr.pipelines.presets import read_preset
from vsr.pipelines.settings import SamplingConfig
from vsr.pipelines.video import VideoUpscalePipeline
from vsr.runtime.device import threads_in_words
from vsr.runtime.memory import peak_resident_bytes

_SHAPES = 128
"""Limit of recompilations, above the number of different block sizes in a U-Net."""


@dataclass(frozen=True, slots=True)
class Row:
    """One configuration to run; `steps` is a share of the steps of the exact run."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    preset: str | None = "upscale-a-video"
    """None means the plain loop."""
    steps: float = 1.0
    dtype: torch.dtype | None = None
    attention: str = "sdpa"
    compiled: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """Time and memory used since a starting point."""

    seconds: float
    cpu_seconds: float
    peak_gigabytes: float


@dataclass(frozen=True, slots=True)
class Result:
    """The cost of a row, and the difference of its frames (in [-1, 1]) from the exact run."""

    name: str
    evaluations: float
    """Evaluations of the U-Net per frame of the clip, one for each frame and prompt."""
    work: float
    """The same by arithmetic: 1 is the U-Net on one frame for one prompt, in segments of 8."""
    sampling: Cost
    whole: Cost
    """The cost with the autoencoder."""
    max_difference: float = 0.0
    mean_difference: float = 0.0


def rows(device: torch.device, base: torch.dtype) -> dict[str, Row]:
    """Return every row by its short name; all are compared with the row `exact`."""
    cuda = device.type == "cuda"
    found = {
        "plain": Row("plain loop", preset=None),
        "exact": Row("exact (the default)"),
        "math": Row("exact, attention by its formula", attention="math"),
        "xformers": Row("exact, attention by xformers", attention="xformers"),
        "float32": Row("exact in float32", dtype=torch.float32),
        "bfloat16": Row("exact in bfloat16", dtype=torch.bfloat16),
        "float16": Row("exact in float16", dtype=torch.float16),
        "dpm15": Row("DPM-Solver++, half the steps", {"scheduler": "dpm++"}, steps=1 / 2),
        "dpm10": Row("DPM-Solver++, a third of the steps", {"scheduler": "dpm++"}, steps=1 / 3),
        "interval": Row("guidance on 0.4 to 0.6", {"guidance_interval": (0.4, 0.6)}),
        "segments": Row(
            "segments of 16, overlap 2",
            {"segment_length": 16, "segment_stride": 14, "blend": "crossfade"},
        ),
        "window": Row("frame attention in windows of 32", {"frame_window": 32}),
        "fast": Row("preset upscale-a-video-fast", preset="upscale-a-video-fast", steps=1 / 3),
        "compile": Row("exact, compiled", compiled=True),
        "fast-compile": Row(
            "preset upscale-a-video-fast, compiled",
            preset="upscale-a-video-fast",
            steps=1 / 3,
            compiled=True,
        ),
    }
    unfit = {str(base).removeprefix("torch.")}
    if not cuda:
        unfit |= {"xformers", "float16"}
    if find_spec("xformers") is None:
        unfit.add("xformers")
    return {name: row for name, row in found.items() if name not in unfit}


class Savings:
    """Runs the rows on one clip. Models stay loaded, so that rows can take turns."""

    def __init__(self, options: Namespace, device: torch.device, base: torch.dtype):
        self.folder, self.device, self.base = Path(options.model), device, base
        self.steps = options.steps or 30
        width, height = map(int, (options.size or "32x32").split("x"))
        self.low_res = _moving(options.frames or 24, height, width)
        self.pipes: dict[tuple[torch.dtype, bool], VideoUpscalePipeline] = {}
        self.plain: UNetVideoModel | None = None

    def measure(self, names: list[str], *, repeats: int, warm: bool) -> dict[str, Result]:
        """Return the fastest of `repeats` turns of each row."""
        known = rows(self.device, self.base)
        reference: Tensor | None = None
        best: dict[str, Result] = {}
        for turn in range(repeats):
            for name in ["exact", *(name for name in names if name != "exact")]:
                if warm and turn == 0:
                    self._run(known[name], steps=1)
                result, frames = self._run(known[name], steps=self.steps)
                reference = frames if reference is None else reference
                difference = (frames - reference).abs()
                result = replace(
                    result,
                    max_difference=float(difference.max()),
                    mean_difference=float(difference.mean()),
                )
                print(result, file=sys.stderr, flush=True)
                if name not in best or self.cost(result) < self.cost(best[name]):
                    best[name] = result
        return {name: best[name] for name in known if name in best}

    def cost(self, result: Result) -> float:
        """Return CPU seconds on a CPU, which other processes may share, and seconds on a GPU."""
        cuda = self.device.type == "cuda"
        return result.sampling.seconds if cuda else result.sampling.cpu_seconds

    def _run(self, row: Row, *, steps: int) -> tuple[Result, Tensor]:
        pipe = self._pipe(row.dtype or self.base, compiled=row.compiled)
        steps = max(1, round(steps * row.steps))
        if row.preset is None:
            return self._run_plain(pipe, row.name, steps)
        pipe.settings = SamplingConfig().overridden(read_preset(row.preset) | dict(row.changes))
        pipe.set_attention_backend("sdpa" if row.attention == "math" else row.attention)
        calls: Counter[tuple[int, int]] = Counter()
        negative, text = self._texts(pipe)
        with _counted(pipe.unet, calls), _by_formula(pipe.unet, row.attention == "math"):
            meter = Meter(self.device, pipe)
            frames = pipe(
                self.low_res,
                prompt_embeds=text,
                negative_prompt_embeds=negative,
                num_inference_steps=steps,
                output_type="pt",
                timer=meter.stage,
            ).frames
        whole = meter.read()
        result = Result(row.name, *self._count(pipe.unet, calls), meter.sampling, whole)
        return result, frames.float().cpu()

    @torch.no_grad()
    def _run_plain(
        self, pipe: VideoUpscalePipeline, name: str, steps: int
    ) -> tuple[Result, Tensor]:
        if self.plain is None:  # as published: width innermost in memory
            self.plain = UNetVideoModel.from_pretrained(self.folder / "unet").eval()
            self.plain.to(self.device, self.base)
        _, _, frames, h, w = self.low_res.shape
        low_res = self.low_res.to(self.device)
        low_res_noise, latents = (
            frame_noise((channels, h, w), frames=range(frames), seed=0, stream=stream)[None]
            for channels, stream in ((3, "low_res"), (4, "latents"))
        )
        negative, text = (x.to(self.device) for x in self._texts(pipe))
        meter = Meter(self.device, pipe)
        clean = plain_latents(
            self.plain,
            PlainRun(
                low_res,
                low_res_noise.to(self.device),
                latents.to(self.device),
                text=text,
                negative_text=negative,
                steps=steps,
            ),
        )
        meter.stage("VAE")
        decoded = pipe.vae.decode_frames(clean, low_res, frames=3)
        windows = len(range(0, frames, 6)) if frames > 8 else 1
        evaluations = 2 * steps * windows * min(frames, 8) / frames
        result = Result(name, evaluations, evaluations, meter.sampling, meter.read())
        return result, decoded.float().cpu()

    def _pipe(self, dtype: torch.dtype, *, compiled: bool) -> VideoUpscalePipeline:
        if (dtype, compiled) not in self.pipes:
            pipe = load_pipeline(self.folder, torch_dtype=dtype, device=self.device)
            if compiled:
                torch._dynamo.config.recompile_limit = _SHAPES
                pipe.unet.compile_repeated_blocks(dynamic=False)
            self.pipes[dtype, compiled] = pipe
        return self.pipes[dtype, compiled]

    def _texts(self, pipe: VideoUpscalePipeline) -> Tensor:
        shape = (2, 1, 77, pipe.unet.config["cross_attention_dim"])
        return torch.randn(shape, generator=torch.Generator().manual_seed(1))

    def _count(self, unet: UNetVideoModel, calls: Counter[tuple[int, int]]) -> tuple[float, float]:
        """Return evaluations and work per frame of the clip."""
        with torch.device("meta"):
            network = UNetVideoModel.from_config(unet.config)
        size = self.low_res.shape[-2:]
        unit = _operations(network, (8, 1), size) / 8
        evaluations = sum(number * t * texts for (t, texts), number in calls.items())
        work = sum(number * _operations(network, call, size) for call, number in calls.items())
        frames = self.low_res.shape[2]
        return evaluations / frames, work / unit / frames


class Meter:
    """The cost of a run since this object was made, and the part before the autoencoder.

    Memory counts what the run adds, and the weights of its own pipeline.
    """

    def __init__(self, device: torch.device, pipe: VideoUpscalePipeline):
        self.on_cuda = device.type == "cuda"
        networks = (pipe.unet, pipe.vae)
        self.weights = sum(p.numel() * p.element_size() for n in networks for p in n.parameters())
        self._sampling: Cost | None = None
        if self.on_cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
        else:
            _forget_peak()
            self.before = psutil.Process().memory_info().rss
        self.cpu, self.start = time.process_time(), time.perf_counter()

    def read(self) -> Cost:
        """Return the cost so far."""
        if self.on_cuda:
            torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() if self.on_cuda else peak_resident_bytes()
        return Cost(
            time.perf_counter() - self.start,
            time.process_time() - self.cpu,
            (peak - self.before + self.weights) / 1e9,
        )

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Act as the timer of a pipeline: the first stage of the autoencoder ends the sampling."""
        if name == "VAE" and self._sampling is None:
            self._sampling = self.read()
        return nullcontext()

    @property
    def sampling(self) -> Cost:
        """The cost before the autoencoder."""
        assert self._sampling is not None, "every run ends in the autoencoder"
        return self._sampling


def table(results: Mapping[str, Result], savings: Savings) -> Table:
    """Return the results as a table, with the speed of each row relative to the exact run."""
    _, _, frames, h, w = savings.low_res.shape
    cuda = savings.device.type == "cuda"
    machine = torch.cuda.get_device_name() if cuda else threads_in_words()
    dtype = str(savings.base).removeprefix("torch.")
    found = Table(
        "run",
        title=f"{frames} frames {w}x{h}, {savings.steps} steps, {dtype}",
        caption=f"{savings.device.type} ({machine}, {platform.machine()}), torch "
        f"{torch.__version__}, {date.today()}",
    )
    headings = ("U-Net a frame", "work", "s", "CPU s", "times", "GB", "whole s", "GB")
    for heading in (*headings, "max diff", "mean diff"):
        found.add_column(heading, justify="right")
    for result in results.values():
        cost, whole = result.sampling, result.whole
        found.add_row(
            result.name,
            f"{result.evaluations:.1f}",
            f"{result.work:.1f}",
            f"{cost.seconds:.2f}",
            f"{cost.cpu_seconds:.2f}",
            f"{savings.cost(results['exact']) / savings.cost(result):.2f}",
            f"{cost.peak_gigabytes:.2f}",
            f"{whole.seconds:.2f}",
            f"{whole.peak_gigabytes:.2f}",
            f"{result.max_difference:.1e}",
            f"{result.mean_difference:.1e}",
        )
    return found


def flat(results: Mapping[str, Result]) -> dict[str, Any]:
    """Return the results as JSON objects by row."""
    return {name: asdict(result) for name, result in results.items()}


def _moving(frames: int, height: int, width: int) -> Tensor:
    """Return a smooth random picture that moves by one pixel per frame, in [-1, 1]."""
    generator = torch.Generator().manual_seed(2)
    coarse = torch.rand(1, 3, height // 8 + 2, (width + frames) // 8 + 2, generator=generator)
    size = (height, width + frames)
    picture = F.interpolate(coarse, size, mode="bicubic").clamp(0, 1) * 2 - 1
    return torch.stack([picture[..., k : k + width] for k in range(frames)], dim=2)


@contextmanager
def _counted(unet: UNetVideoModel, calls: Counter[tuple[int, int]]) -> Generator[None]:
    """Count the calls of the U-Net by frames and prompts."""

    def count(module: Any, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> None:
        texts = kwargs["encoder_hidden_states"].embeddings.shape[0]
        calls[args[0].shape[2], texts] += 1

    handle = unet.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _by_formula(unet: UNetVideoModel, wanted: bool) -> Generator[None]:
    """Compute the attention of the U-Net, and no other, by its formula."""
    if not wanted:
        yield
        return
    forward = unet.forward

    def plainly(*args: Any, **kwargs: Any) -> Any:
        with sdpa_kernel(SDPBackend.MATH):
            return forward(*args, **kwargs)

    unet.forward = plainly
    try:
        yield
    finally:
        del unet.forward


def _operations(network: UNetVideoModel, call: tuple[int, int], size: torch.Size) -> int:
    """Return the floating-point operations of one call with this many frames and prompts."""
    frames, texts = call
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network(
            torch.empty(1, network.config["out_channels"], frames, *size),
            torch.tensor(0),
            low_res=torch.empty(1, 3, frames, *size),
            class_labels=torch.tensor([0]),
            encoder_hidden_states=torch.empty(texts, 77, network.config["cross_attention_dim"]),
        )
    return counter.get_total_flops()


def _forget_peak() -> None:
    """Return freed memory to the system and reset the peak that Linux records."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
