"""Memory that runs out makes a run smaller, and values that are no picture are made again."""

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.networks import compact, saved
from vsr.checkpoints.load import load_pipeline
from vsr.config import UpscaleConfig
from vsr.errors import DeviceError, NumericalError
from vsr.pipelines.image import ImageUpscalePipeline
from vsr.runtime.timing import NullTimer, Timer
from vsr.upscaling.clip_upscaler import Upscaler
from vsr.upscaling.fallback import (
    AS_ASKED,
    Fallback,
    Limits,
    as_device_error,
    is_shortage,
    parts_of,
    smaller,
)
from vsr.upscaling.load import load_upscaler
from vsr.upscaling.sizes import Size
from vsr.video.reading.clips import Clip
from vsr.video.reading.reader import Frame

HEIGHT, WIDTH = 16, 72
CPU_SHORTAGE = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")


@dataclass
class FailingTimer:
    """Fails so many times where a stage begins, as a full memory would there."""

    stage: str
    times: int
    error: Exception = CPU_SHORTAGE

    @contextmanager
    def __call__(self, stage: str) -> Generator[None]:
        if stage == self.stage and self.times > 0:
            self.times -= 1
            raise self.error
        yield


def clip(first: int, count: int, *, starts_shot: bool) -> Clip:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    pictures = [
        np.stack([120 + 90 * np.sin((columns - t) / k + rows / 9) for k in (5, 7, 9)], axis=-1)
        for t in range(first, first + count)
    ]
    frames = (Frame(p.astype(np.uint8), i, Fraction(1, 25)) for i, p in enumerate(pictures, first))
    return Clip(tuple(frames), first, starts_shot)


CLIPS = (clip(0, 6, starts_shot=True), clip(6, 5, starts_shot=False))


def upscaler(model: Path, timer: Timer | None = None, **config: object) -> Upscaler:
    chosen = UpscaleConfig(**{"model": str(model), "device": "cpu", "dtype": "float32"} | config)
    size = Size(2 * HEIGHT, 2 * WIDTH)  # so that there is something to reduce
    return load_upscaler(chosen, size, timer or NullTimer())


@pytest.mark.parametrize(
    ("stage", "error"),
    [
        ("flow", torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")),
        ("U-Net", RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")),
        ("propagate", MemoryError()),
        ("VAE", CPU_SHORTAGE),
        ("color", CPU_SHORTAGE),
        ("reduce", CPU_SHORTAGE),
    ],
)
def test_a_failed_allocation_anywhere_makes_the_clip_and_those_after_it_smaller(
    tiny_model: Path, caplog: pytest.LogCaptureFixture, stage: str, error: Exception
) -> None:
    failing = upscaler(tiny_model, FailingTimer(stage, 1, error))
    with caplog.at_level(logging.WARNING):
        found = [failing(one) for one in CLIPS]
    reduced = Fallback(clip_frames=3)
    assert [one.fallback for one in found] == [reduced, reduced]
    assert "frames 0 to 5" in caplog.text
    assert "clips of 3 frame(s)" in caplog.text
    again = upscaler(tiny_model)
    again.fallback = Fallback(**asdict(reduced))  # as a journal gives it
    for clip_, one in zip(CLIPS, found, strict=True):
        assert np.array_equal(again(clip_).pixels, one.pixels)
        assert one.pts == tuple(frame.pts for frame in clip_.frames)


def test_what_was_finished_before_stays_and_is_gone_on_from(tiny_model: Path) -> None:
    timer = FailingTimer("VAE", 0)
    failing, whole = upscaler(tiny_model, timer), upscaler(tiny_model)
    assert np.array_equal(failing(CLIPS[0]).pixels, whole(CLIPS[0]).pixels)
    timer.times = 1
    second = failing(CLIPS[1])
    assert second.fallback == Fallback(clip_frames=3)
    whole.fallback = second.fallback
    assert np.array_equal(second.pixels, whole(CLIPS[1]).pixels)


def test_without_propagation_smaller_parts_change_only_what_is_at_their_ends(
    tiny_model: Path,
) -> None:
    """Segments of one frame: no frame sees another but in the decoder, which sees one to either
    side."""
    options = {"propagation_steps": "none", "segment_length": 1}
    whole = upscaler(tiny_model, **options)(CLIPS[0]).pixels.astype(int)
    parts = upscaler(tiny_model, FailingTimer("VAE", 1), **options)(CLIPS[0]).pixels
    difference = np.abs(whole - parts).max(axis=(1, 2, 3))
    assert (difference[[0, 1, 4, 5]] == 0).all()


def test_a_run_becomes_smaller_step_by_step_and_then_says_what_to_do(tiny_model: Path) -> None:
    failing = upscaler(tiny_model, FailingTimer("U-Net", 1000))
    with pytest.raises(DeviceError, match=r"frames 0 to 5, even with .* end other programs"):
        failing(CLIPS[0])
    assert (failing.fallback.clip_frames, failing.fallback.tile) == (1, 64)
    native = torch.cpu._is_avx512_bf16_supported()
    assert failing.fallback.dtype == ("bfloat16" if native else None)


def test_another_error_is_no_shortage(tiny_model: Path) -> None:
    failing = upscaler(tiny_model, FailingTimer("VAE", 1, RuntimeError("shapes do not match")))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        failing(CLIPS[0])
    assert failing.fallback == AS_ASKED


def test_an_image_network_becomes_smaller_too(tmp_path: Path) -> None:
    model = saved(compact(), tmp_path / "net.pth")
    found = upscaler(model, FailingTimer("network", 3))(CLIPS[0])
    assert found.fallback == Fallback(clip_frames=2, tile=64)
    tiled = upscaler(model, tile=64, max_clip_frames=2)
    tiled.fallback = Fallback(clip_frames=2)
    assert np.array_equal(found.pixels, tiled(CLIPS[0]).pixels)


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: torch.empty(1 << 60, dtype=torch.uint8),
        lambda: np.empty(1 << 60, np.uint8),
        lambda: cv2.resize(np.zeros((2, 2, 3)), (1 << 24, 1 << 24)),
    ],
    ids=["torch", "numpy", "opencv"],
)
def test_real_failed_allocations_are_known(allocate: Callable[[], object]) -> None:
    with pytest.raises((RuntimeError, MemoryError, cv2.error)) as failed:
        allocate()
    assert is_shortage(failed.value)
    with (
        pytest.raises(DeviceError, match="memory does not suffice for this"),
        as_device_error("this"),
    ):
        allocate()


def test_what_onednn_does_not_compute_is_no_shortage() -> None:
    assert is_shortage(RuntimeError("could not create a primitive"))
    assert not is_shortage(RuntimeError("could not create a primitive descriptor for a forward"))


def test_an_error_of_another_kind_passes_the_explanation() -> None:
    assert not is_shortage(ValueError("out of memory"))
    with pytest.raises(RuntimeError, match="other"), as_device_error("this"):
        raise RuntimeError("other")


limits = st.builds(
    Limits,
    frames=st.integers(1, 40),
    tile=st.integers(1, 4000),
    smallest_tile=st.none() | st.integers(1, 200),
    tiles_last=st.booleans(),
    offload=st.booleans(),
    by_rows=st.booleans(),
    dtype=st.sampled_from(["bfloat16", "float16", None]),
)


@given(limits)
def test_each_step_is_smaller_and_the_last_is_the_smallest(limits: Limits) -> None:
    steps = [AS_ASKED]
    while (following := smaller(steps[-1], limits)) is not None:
        steps.append(following)
        assert len(steps) < 40
    last = steps[-1]
    assert last.offload == limits.offload
    assert last.by_rows == limits.by_rows
    assert last.dtype == limits.dtype
    assert last.clip_frames == (1 if limits.frames > 1 else None)
    if limits.smallest_tile is not None and limits.tile > limits.smallest_tile:
        assert last.tile == limits.smallest_tile
    for one, other in pairwise(steps):
        changed = [k for k, v in asdict(one).items() if v != asdict(other)[k]]
        assert len(changed) == 1


def test_tiles_come_before_single_frames_where_the_networks_are_large() -> None:
    step = smaller(Fallback(clip_frames=4), Limits(frames=9, tile=500))
    assert step == Fallback(clip_frames=4, tile=250)
    step = smaller(Fallback(clip_frames=4), Limits(frames=9, tile=500, tiles_last=True))
    assert step == Fallback(clip_frames=2)


@given(limits, st.integers(1, 40), st.integers(1, 4000))
def test_what_is_small_already_becomes_no_larger(limits: Limits, frames: int, tile: int) -> None:
    given_ = Fallback(clip_frames=frames, tile=tile)
    found = smaller(given_, limits)
    if found is not None:
        assert (found.clip_frames or 0) <= frames
        assert (found.tile or 0) <= tile


@given(st.integers(1, 60), st.none() | st.integers(1, 60))
def test_parts_cover_a_clip_in_equal_lengths(frames: int, longest: int | None) -> None:
    parts = parts_of(frames, longest)
    assert [i for part in parts for i in range(frames)[part]] == list(range(frames))
    lengths = [part.stop - part.start for part in parts]
    assert max(lengths) <= (longest or frames)
    assert max(lengths) - min(lengths) <= 1


def test_in_words() -> None:
    everything = Fallback(clip_frames=4, tile=64, offload=True, dtype="bfloat16")
    said = "idle networks on the CPU, clips of 4 frame(s), tiles of 64 pixels, bfloat16"
    assert str(everything) == said
    assert str(AS_ASKED) == "nothing reduced"


# Values that are no picture


@pytest.fixture
def half(tiny_model: Path) -> Upscaler:
    """In bfloat16."""
    return upscaler(tiny_model, dtype="bfloat16")


def spoil(upscaler: Upscaler, value: float, *, dtypes: tuple[torch.dtype, ...]) -> None:
    """Make the decoder's pictures `value` in some number formats."""

    def hook(module: object, inputs: object, output: torch.Tensor) -> torch.Tensor:
        return torch.full_like(output, value) if output.dtype in dtypes else output

    upscaler.pipeline.vae.decoder.register_forward_hook(hook)


@pytest.mark.parametrize(("value", "said"), [(float("nan"), "not finite"), (-1e4, "black")])
def test_nan_and_black_frames_are_made_again_in_float32(
    half: Upscaler, tiny_model: Path, caplog: pytest.LogCaptureFixture, value: float, said: str
) -> None:
    spoil(half, value, dtypes=(torch.bfloat16,))
    with caplog.at_level(logging.WARNING):
        found = [half(one).pixels for one in CLIPS]
    assert said in caplog.text
    assert "(frames 0, 1, 2, 3" in caplog.text
    assert half.pipeline.dtype == torch.bfloat16
    exact = upscaler(tiny_model)
    exact.pipeline.to(torch.bfloat16).to(torch.float32)
    for one, pixels in zip(CLIPS, found, strict=True):
        assert np.array_equal(exact(one).pixels, pixels)


def test_what_is_no_picture_in_float32_either_is_an_error_that_names_frames(half: Upscaler) -> None:
    spoil(half, float("nan"), dtypes=(torch.bfloat16, torch.float32))
    with pytest.raises(NumericalError, match=r"not finite \(frames 6, 7, 8, 9 .*of .* in float32"):
        half(replace(CLIPS[1], starts_shot=True))
    assert half.pipeline.dtype == torch.bfloat16


def test_dark_frames_of_a_dark_source_are_right(tiny_model: Path) -> None:
    dark = tuple(Frame(np.full((HEIGHT, WIDTH, 3), 2, np.uint8), i, Fraction(1)) for i in range(2))
    assert upscaler(tiny_model)(Clip(dark, 0, True)).pixels.max() < 20


def test_an_image_network_that_makes_nan_is_an_error_that_names_frames(tmp_path: Path) -> None:
    network = compact()
    torch.nn.init.constant_(network.body[0].weight, float("nan"))
    failing = upscaler(saved(network, tmp_path / "net.pth"))
    with pytest.raises(NumericalError, match=r"net.pth .* not finite \(frames 0, 1, 2, 3 and 2"):
        failing(CLIPS[0])


# Idle networks


def test_networks_that_wait_elsewhere_make_the_same(tiny_model: Path) -> None:
    """The CPU stands in for an accelerator: its hooks move nothing, and must not be in the way."""
    plain, hooked = (load_pipeline(tiny_model, device="cpu") for _ in range(2))
    hooked.enable_model_cpu_offload(device="cpu")
    frames = np.stack([frame.pixels for frame in CLIPS[0].frames])
    for tile in (None, 64):
        assert np.array_equal(hooked(frames, tile=tile).frames, plain(frames, tile=tile).frames)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_small_accelerator_makes_the_clip_all_the_same(tiny_model: Path) -> None:
    whole = upscaler(tiny_model, device="cuda")(CLIPS[0]).pixels
    small = upscaler(tiny_model, FailingTimer("U-Net", 1), device="cuda")
    found = small(CLIPS[0])
    assert found.fallback == Fallback(offload=True)
    assert np.abs(found.pixels.astype(int) - whole).max() <= 1
    assert np.array_equal(small(CLIPS[0]).pixels, found.pixels)


def test_an_image_network_knows_its_pipelines_place(tmp_path: Path) -> None:
    pipeline = ImageUpscalePipeline.from_file(saved(compact(), tmp_path / "net.pth"))
    assert pipeline.device == torch.device("cpu")
    assert pipeline.to(torch.bfloat16).dtype == torch.bfloat16
