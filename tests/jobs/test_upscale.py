"""From file to file with a small real model: what comes out, and what stays when it goes wrong."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.decoded import pixels, times
from vsr.config import UpscaleConfig
from vsr.errors import InputError, ModelError
from vsr.jobs.progress import Advance
from vsr.jobs.upscale import upscale
from vsr.runtime.timing import StageTimer
from vsr.upscaling.sizes import Size

FRAMES = 10


@pytest.fixture(scope="module")
def config(tiny_model: Path) -> UpscaleConfig:
    return UpscaleConfig(model=str(tiny_model), device="cpu", dtype="float32", max_clip_frames=4)


@pytest.fixture
def cut_off(tmp_path: Path, source: Path) -> Path:
    """The source as Matroska, which can be read from the front, without its last tenth."""
    whole, path = tmp_path / "whole.mkv", tmp_path / "cut_off.mkv"
    with av.open(str(source)) as given, av.open(str(whole), "w") as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    data = whole.read_bytes()
    path.write_bytes(data[: 9 * len(data) // 10])
    return path


def audio_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def test_a_video_comes_out_four_times_larger_with_its_times_and_its_sound(
    tmp_path: Path, source: Path, config: UpscaleConfig
) -> None:
    output = tmp_path / "out.mp4"
    report = upscale(source, output, config)
    assert report.output == output
    assert (report.frames, report.size) == (FRAMES, Size(height=96, width=128))
    assert pixels(output).shape == (FRAMES, 96, 128, 3)
    assert times(output) == times(source)
    assert audio_packets(output) == audio_packets(source)
    assert list(tmp_path.iterdir()) == [output]


def test_the_output_looks_like_the_source(
    tmp_path: Path, source: Path, config: UpscaleConfig
) -> None:
    """The model is not trained, but its output is near the enlarged frames."""
    output = tmp_path / "out.mkv"
    upscale(source, output, replace(config, lossless=True))
    small = pixels(output).reshape(FRAMES, 24, 4, 32, 4, 3).mean(axis=(2, 4))
    assert np.abs(small - pixels(source)).mean() < 6


def test_without_propagation_the_length_of_clips_changes_nothing_that_is_seen(
    tmp_path: Path, source: Path, config: UpscaleConfig
) -> None:
    """A clip of one segment has the temporal context that its frames have in a longer one, away
    from the ends: here every clip is one frame, and no layer sees another."""
    alone = replace(config, lossless=True, propagation_steps="none", segment_length=1)
    upscale(source, tmp_path / "a.mkv", replace(alone, max_clip_frames=1))
    upscale(source, tmp_path / "b.mkv", replace(alone, max_clip_frames=1, start=0.2))
    assert np.array_equal(pixels(tmp_path / "a.mkv")[5:], pixels(tmp_path / "b.mkv"))


def test_the_same_seed_gives_the_same_file_and_another_one_another(
    tmp_path: Path, source: Path, config: UpscaleConfig
) -> None:
    outputs = [tmp_path / f"{name}.mkv" for name in "abc"]
    for output, seed in zip(outputs, (1, 1, 2), strict=True):
        upscale(source, output, replace(config, seed=seed, lossless=True))
    first, same, other = map(pixels, outputs)
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(("scale", "size"), [(2.0, (48, 64)), (1.5, (36, 48)), (1.0, (24, 32))])
def test_smaller_scales_are_reductions(
    tmp_path: Path, source: Path, config: UpscaleConfig, scale: float, size: tuple[int, int]
) -> None:
    upscale(source, tmp_path / "out.mp4", replace(config, scale=scale))
    assert pixels(tmp_path / "out.mp4").shape == (FRAMES, *size, 3)


def test_a_part_of_the_source_keeps_its_frames_and_no_others(
    tmp_path: Path, source: Path, config: UpscaleConfig
) -> None:
    report = upscale(source, tmp_path / "out.mp4", replace(config, start=0.1, duration=0.2))
    assert report.frames == sum(Fraction(1, 10) <= t < Fraction(3, 10) for t in times(source))


def test_a_folder_of_images_becomes_a_video(tmp_path: Path, config: UpscaleConfig) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(3):
        image = np.full((16, 20, 3), 60 * number, np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    report = upscale(folder, None, config)
    assert report.output == tmp_path / "frames_x4.mkv"
    assert pixels(report.output).shape == (3, 64, 80, 3)


def test_png_writes_a_folder_of_images(tmp_path: Path, source: Path, config: UpscaleConfig) -> None:
    upscale(source, tmp_path / "out", replace(config, codec="png"))
    images = sorted((tmp_path / "out").glob("*.png"))
    assert len(images) == FRAMES
    assert cv2.imread(str(images[0])).shape == (96, 128, 3)


def test_a_cut_off_source_gives_what_decodes_and_an_error(
    tmp_path: Path, cut_off: Path, config: UpscaleConfig
) -> None:
    output = tmp_path / "out.mkv"
    with pytest.raises(InputError, match="is damaged"):
        upscale(cut_off, output, config)
    assert 0 < len(pixels(output)) < FRAMES


def test_a_cut_off_source_is_no_error_for_the_tolerant(
    tmp_path: Path, cut_off: Path, config: UpscaleConfig
) -> None:
    report = upscale(cut_off, tmp_path / "out.mkv", replace(config, tolerant=True))
    assert 0 < report.frames < FRAMES


def test_progress_counts_every_frame(tmp_path: Path, source: Path, config: UpscaleConfig) -> None:
    counted: list[int] = []
    totals: list[int | None] = []

    @contextmanager
    def progress(total: int | None) -> Generator[Advance]:
        totals.append(total)
        yield counted.append

    upscale(source, tmp_path / "out.mp4", config, progress=progress)
    assert totals == [FRAMES]
    assert sum(counted) == FRAMES


def test_every_stage_is_timed(tmp_path: Path, source: Path, config: UpscaleConfig) -> None:
    timer = StageTimer()
    upscale(source, tmp_path / "out.mp4", config, timer=timer)
    stages = {"decode", "flow", "U-Net", "propagate", "VAE", "color", "encode"}
    assert stages <= set(timer.seconds)


def test_after_an_interrupt_the_same_call_goes_on_to_the_same_bytes(
    tmp_path: Path, source: Path, config: UpscaleConfig
) -> None:
    @contextmanager
    def progress(total: int | None) -> Generator[Advance]:
        def advance(frames: int) -> None:
            raise KeyboardInterrupt

        yield advance

    whole, broken = tmp_path / "whole.mp4", tmp_path / "broken.mp4"
    upscale(source, whole, config)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
            upscale(source, broken, config, progress=progress)
        assert not broken.exists()
    upscale(source, broken, config)
    assert broken.read_bytes() == whole.read_bytes()
    assert sorted(tmp_path.iterdir()) == [broken, whole]


@pytest.mark.parametrize("network", ["unet", "vae"])
@pytest.mark.parametrize("damage", ["missing", "misshapen", "superfluous"])
def test_a_model_with_a_wrong_tensor_is_refused_by_its_name(
    tmp_path: Path, source: Path, config: UpscaleConfig, network: str, damage: str
) -> None:
    model = tmp_path / "model"
    shutil.copytree(config.model, model)
    (file,) = (model / network).glob("*.safetensors")
    tensors = load_file(file)
    name = sorted(tensors)[0]
    tensor = tensors.pop(name)
    if damage == "misshapen":
        tensors[name] = torch.zeros(*tensor.shape, 2)
    if damage == "superfluous":
        tensors |= {name: tensor, "nonsense": tensor.clone()}
    save_file(tensors, file)
    output = tmp_path / "out.mp4"
    with pytest.raises(ModelError, match="nonsense" if damage == "superfluous" else name):
        upscale(source, output, replace(config, model=str(model)))
    assert not output.exists()
