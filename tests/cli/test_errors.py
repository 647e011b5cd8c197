"""The command line says in one line what is wrong, and writes nothing."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from tests.runtime.test_yaml_text import bomb
from vsr.cli import main
from vsr.cli.commands import COMMANDS
from vsr.video.images import encode_png

Make = Callable[[Path, Path], list[str]]
"""Makes the bad input in a folder, given a good clip, and returns the command that meets it."""


def missing_file(folder: Path, source: Path) -> list[str]:
    return [str(folder / "missing.mp4"), str(folder / "out.mp4")]


def folder_without_images(folder: Path, source: Path) -> list[str]:
    (folder / "in").mkdir()
    return [str(folder / "in"), str(folder / "out.mp4")]


def empty_file(folder: Path, source: Path) -> list[str]:
    (folder / "in.mp4").touch()
    return [str(folder / "in.mp4"), str(folder / "out.mp4")]


def text_file(folder: Path, source: Path) -> list[str]:
    (folder / "in.mp4").write_text("This is not a film.\n" * 50)
    return [str(folder / "in.mp4"), str(folder / "out.mp4")]


def playlist(folder: Path, source: Path) -> list[str]:
    (folder / "in.m3u8").write_text(f"#EXTM3U\n#EXTINF:1,\n{source}\n")
    return [str(folder / "in.m3u8")]


def pipe_among_pictures(folder: Path, source: Path) -> list[str]:
    (folder / "pictures").mkdir()
    (folder / "pictures/0.png").write_bytes(encode_png(np.zeros((24, 32, 3), np.uint8)))
    os.mkfifo(folder / "pictures/1.png")
    return [str(folder / "pictures")]


def audio_only(folder: Path, source: Path) -> list[str]:
    with av.open(str(folder / "in.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return [str(folder / "in.mp4"), str(folder / "out.mp4")]


def zero_size_stream(folder: Path, source: Path) -> list[str]:
    """The source with width and height of its video track set to zero, wherever they stand."""
    data = bytearray(source.read_bytes())
    box = data.index(b"avc1") + 4 + 24
    data[box : box + 4] = bytes(4)
    at = data.index(b"avcC") + 4
    data[at : at + 40] = bytes(40)
    (folder / "in.mp4").write_bytes(data)
    return [str(folder / "in.mp4"), str(folder / "out.mp4")]


def cut_before_the_first_frame(folder: Path, source: Path) -> list[str]:
    (folder / "in.mp4").write_bytes(source.read_bytes()[:60])
    return [str(folder / "in.mp4"), str(folder / "out.mp4")]


def good(*options: str) -> Make:
    """A good input, with bad options."""

    def make(folder: Path, source: Path) -> list[str]:
        return [str(source), str(folder / "out.mp4"), *options]

    return make


def config_file(text: str) -> Make:
    def make(folder: Path, source: Path) -> list[str]:
        (folder / "config.yaml").write_text(text)
        return [str(source), str(folder / "out.mp4"), "--config", str(folder / "config.yaml")]

    return make


def model_folder_without_index(folder: Path, source: Path) -> list[str]:
    (folder / "model").mkdir()
    return [str(source), str(folder / "out.mp4"), "--model", str(folder / "model")]


def output_folder_missing(folder: Path, source: Path) -> list[str]:
    return [str(source), str(folder / "nowhere" / "out.mp4")]


def trailing_slash(folder: Path, source: Path) -> list[str]:
    return [str(source), f"{folder / 'nowhere'}/"]


def wrong_container(folder: Path, source: Path) -> list[str]:
    return [str(source), str(folder / "out.webm"), "--codec", "x264"]


def unknown_container(folder: Path, source: Path) -> list[str]:
    return [str(source), str(folder / "out.xyz")]


def no_name(folder: Path, source: Path) -> list[str]:
    return ["", str(folder / "out.mp4")]


def address(folder: Path, source: Path) -> list[str]:
    return ["https://example.org/film.mp4", str(folder / "out.mp4")]


def binary_config(folder: Path, source: Path) -> list[str]:
    return [str(source), str(folder / "out.mp4"), "--config", str(source)]


def long_name(folder: Path, source: Path) -> list[str]:
    return [str(folder / f"{'a' * 300}.mp4"), str(folder / "out.mp4")]


def long_output_name(folder: Path, source: Path) -> list[str]:
    return [str(source), str(folder / f"{'a' * 300}.mp4")]


BAD_INPUT = [
    (missing_file, 1, "does not exist"),
    (folder_without_images, 1, "image"),
    (empty_file, 1, "empty"),
    (text_file, 1, "in.mp4"),
    (audio_only, 1, "audio"),
    (zero_size_stream, 1, "in.mp4"),
    (cut_before_the_first_frame, 1, "in.mp4"),
    (good("--sclae", "2"), 2, "unknown option --sclae; did you mean --scale?"),
    (good("--nosie-level=3"), 2, "unknown option --nosie-level; did you mean --noise-level?"),
    (good("--share"), 2, "unknown option --share, which is gone: accelerate launch -m vsr upscale"),
    (good("--cluster", "localhost:1"), 1, "the cluster at localhost:1 cannot be reached"),
    (good("--cluster=nowhere"), 2, "--cluster nowhere is not understood; it can be auto or HOST:"),
    (good("--cluster", "--cpus-per-worker", "0"), 2, "--cpus-per-worker 0 is not possible"),
    (good("--cluster", "--report"), 1, "--report is for one process, and --cluster is given"),
    (good("--steps", "many"), 2, "steps"),
    (good("--scale", "5"), 2, "scale = 5.0 is out of range; it can be from 1 to 4"),
    (good("--scale", "0.5"), 2, "scale"),
    (good("--height", "9000"), 2, "height = 9000 is out of range; it can be from 24 to 96"),
    (good("--color", "purple"), 2, "color"),
    (good("--dtype", "int3"), 2, "dtype"),
    (good("--propagation-steps", "x"), 2, "propagation_steps"),
    (good("extra"), 2, "extra"),
    (good("--steps", "2.5"), 2, "steps = 2.5 is not a whole number"),
    (good("--codec", "ffv2"), 2, "codec = ffv2 is unknown; did you mean ffv1?"),
    (good("--start", "1:75"), 2, "start = 1:75 is not a time; it can be seconds"),
    (good("--duration", "soon"), 2, "duration = soon is not a time"),
    (good("--preview", "0"), 2, "--preview 0 is not understood"),
    (good("-film.mp4"), 2, "unknown option -film.mp4; if it is a file, write ./-film.mp4"),
    (good("--fps", "24"), 2, "fps is for folders of pictures"),
    (good("--fps", "fast"), 2, "fps = fast is not a frame rate"),
    (good("--fps", "1/0"), 2, "fps = 1/0 is not a frame rate"),
    (good("-o", "other.mp4"), 2, "the input and the output are given without an option"),
    (good("--output", "other.mp4"), 2, "the input and the output are given without an option"),
    (good("--model", ""), 2, "model is empty"),
    (no_name, 2, "a name is empty"),
    (address, 2, "https://example.org/film.mp4 is an address; download the file first"),
    (config_file("- 1"), 2, "the config file holds no options"),
    (binary_config, 2, "the config file is not text in UTF-8"),
    (good("-"), 2, "- (standard input or output) cannot be used"),
    (config_file("start: soon"), 2, "start = soon is not a time"),
    (long_name, 1, "is too long for this file system"),
    (long_output_name, 1, "is too long for this file system"),
    (config_file("device: null"), 2, "device is null; leave it out, or give a value"),
    (config_file(f"seed: {'9' * 5000}"), 2, "the config file cannot be read"),
    (playlist, 1, "is a playlist, which names other files to be read; --allow-playlists"),
    (pipe_among_pictures, 1, "is not a file (a folder, pipe or device)"),
    (config_file(bomb(9)), 2, "the config file cannot be read: it has more than 10000 values"),
    (config_file("noise_lvel: 3"), 2, "unknown key noise_lvel in the config file; did you mean"),
    (config_file("scale: large"), 2, "scale"),
    (config_file("scale: 7"), 2, "scale"),
    (config_file("scale: [1"), 2, "config"),
    (good("--config", "missing.yaml"), 2, "missing.yaml"),
    (good("--model", "compcat"), 1, "there is no model compcat"),
    (model_folder_without_index, 1, "model_index.json"),
    (output_folder_missing, 1, "nowhere"),
    (trailing_slash, 1, "nowhere does not exist; make it first"),
    (wrong_container, 1, "x264"),
    (unknown_container, 1, ".xyz"),
    (good("--crf", "60"), 1, "crf"),
    (good("--lossless"), 1, "ffv1"),
    (good("--device", "gpu"), 1, "device gpu is not known"),
    (good("--start", "60"), 1, "past the end"),
]


@pytest.mark.parametrize(
    ("make", "code", "says"),
    BAD_INPUT,
    ids=[f"{case[0].__name__}: {case[2]}" for case in BAD_INPUT],
)
def test_bad_input_gets_one_line_a_non_zero_exit_and_no_output(
    make: Make,
    code: int,
    says: str,
    tmp_path: Path,
    source: Path,
    tiny_model: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    arguments = make(tmp_path, source)
    model = [] if "--model" in arguments else ["--model", str(tiny_model)]
    before = sorted(tmp_path.rglob("*"))
    assert main(["upscale", *arguments, *model]) == code
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("vsr: error: ")
    assert says in lines[0]
    assert sorted(tmp_path.rglob("*")) == before


def test_an_output_that_exists_is_kept(
    tmp_path: Path, source: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.mp4"
    output.write_text("precious")
    assert main(["upscale", str(source), str(output)]) == 1
    assert "exists" in capfd.readouterr().err
    assert output.read_text() == "precious"


def test_the_source_is_never_the_output(
    tmp_path: Path, source: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "in.mp4"
    shutil.copy(source, copy)
    assert main(["upscale", str(copy), str(copy), "--overwrite"]) == 1
    assert "is the source itself" in capfd.readouterr().err
    assert copy.read_bytes() == source.read_bytes()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_that_is_not_writable_is_said(
    tmp_path: Path, source: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "read_only"
    folder.mkdir(mode=0o500)
    assert main(["upscale", str(source), str(folder / "out.mp4")]) == 1
    assert "not writable" in capfd.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA")
def test_cuda_where_there_is_none_is_said(
    tmp_path: Path, source: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.mp4"
    arguments = ["upscale", str(source), str(output), "--model", str(tiny_model)]
    assert main([*arguments, "--device", "cuda"]) == 1
    assert "device cuda is not there: PyTorch sees 0 CUDA devices" in capfd.readouterr().err
    assert not output.exists()


def test_debug_shows_the_trace(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["upscale", str(tmp_path / "missing.mp4"), "--debug"]) == 1
    error = capfd.readouterr().err
    assert "Traceback" in error
    assert error.splitlines()[-1].startswith("vsr: error: ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["upscal"], "unknown command upscal; did you mean upscale?"),
        (["upscale"], "input"),
        (["info"], "path"),
        (["train", "missing.yaml"], "missing.yaml"),
        (["upscale"], "the input is missing; see vsr upscale --help"),
        (["upscale", "a", "--sclae=2", "b"], "unknown option --sclae; did you mean --scale?"),
    ],
)
def test_a_command_that_is_wrong_or_not_whole_is_said_in_one_line(
    arguments: list[str], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) != 0
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert says in lines[0]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ImportError("libGL.so.1: cannot open shared object file"), "apt install libgl1"),
        (ImportError("libcudart.so.13: cannot open shared object file"), "install this library"),
        (ModuleNotFoundError("no", name="einops"), "the package einops is not installed"),
        (PermissionError(13, "Permission denied", "film.mkv"), "film.mkv: Permission denied"),
        (MemoryError("8 GB"), "not enough memory to read or write a clip (8 GB)"),
    ],
)
def test_what_the_system_lacks_is_said_in_one_line(
    error: Exception, says: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(options: object) -> None:
        raise error

    monkeypatch.setitem(COMMANDS, "info", fail)
    assert main(["info", "film.mkv"]) == 1
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert says in lines[0]
