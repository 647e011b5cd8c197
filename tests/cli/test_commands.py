"""The command line: what it says about bad input, and where it says it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.cli.process import run_vsr
from tests.conftest import moving_pictures
from vsr.cli import main
from vsr.video.images import encode_png
from vsr.video.probe import probe


def test_a_video_is_upscaled_and_summed_up_in_one_line(
    tmp_path: Path, source: Path, tiny_model: Path
) -> None:
    output = tmp_path / "out.mp4"
    done = run_vsr(
        "upscale", str(source), str(output), "--model", str(tiny_model), "--device", "cpu"
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"10 frames at 128x96 in .* frames/s\): .*out.mp4 \(.* MB\)\n", done.stdout)
    assert all(line.startswith("vsr: ") for line in done.stderr.splitlines()), done.stderr
    assert "error" not in done.stderr


def test_a_config_file_gives_options_and_flags_override_it(
    tmp_path: Path, source: Path, tiny_model: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"model: {tiny_model}\nscale: 2\npropagation_steps: none\ndevice: cpu\n")
    output = tmp_path / "out.mp4"
    arguments = ["upscale", str(source), str(output), "--config", str(config)]
    assert main([*arguments, "--scale", "1.5"]) == 0
    with av.open(str(output)) as container:
        assert container.streams.video[0].width == 48


def test_an_output_is_replaced_when_asked(tmp_path: Path, source: Path, tiny_model: Path) -> None:
    output = tmp_path / "out.mp4"
    output.write_text("old")
    arguments = ["upscale", str(source), str(output), "--model", str(tiny_model)]
    assert main([*arguments, "--device", "cpu", "--overwrite"]) == 0
    with av.open(str(output)) as container:
        assert container.streams.video[0].width == 128


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_in_one_line_without_output(
    tmp_path: Path, source: Path, tiny_model: Path, end: signal.Signals
) -> None:
    output = tmp_path / "out.mp4"
    arguments = ["upscale", str(source), str(output), "--model", str(tiny_model)]
    running = subprocess.Popen(
        [sys.executable, "-m", "vsr", *arguments], stderr=subprocess.PIPE, text=True
    )
    while not list(tmp_path.iterdir()):
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(end)
    _, error = running.communicate(timeout=60)
    assert running.returncode == 130, error
    assert error.splitlines()[-1].startswith("vsr: error: interrupted; ")
    assert not output.exists()
    if "frames are kept in" in error:
        assert (tmp_path / "out.mp4.vsr").is_dir()
    else:
        assert "no output was written" in error


def test_options_may_stand_between_the_names(
    tmp_path: Path, source: Path, tiny_model: Path
) -> None:
    output = tmp_path / "out.mp4"
    between = ["--model", str(tiny_model), "--scale", "2", "--overwrite"]
    assert main(["upscale", str(source), *between, str(output), "--duration", "0:00.2"]) == 0
    with av.open(str(output)) as container:
        assert container.streams.video[0].width == 64
        assert len(list(container.decode(video=0))) == 5


@pytest.mark.parametrize("rate", ["18", "24000/1001"])
def test_a_folder_of_pictures_has_the_frame_rate_that_is_given(
    rate: str, tmp_path: Path, tiny_model: Path
) -> None:
    pictures = tmp_path / "scan"
    pictures.mkdir()
    for number, picture in enumerate(moving_pictures()):
        (pictures / f"{number}.png").write_bytes(encode_png(picture))
    output = tmp_path / "out.mkv"
    arguments = ["upscale", str(pictures), str(output), "--model", str(tiny_model)]
    assert main([*arguments, "--fps", rate]) == 0
    info = probe(output)
    assert info.average_rate is not None
    assert abs(info.average_rate / Fraction(rate) - 1) < 1e-3
    assert probe(pictures, rate=Fraction(rate)).duration == 10 / Fraction(rate)


def test_an_output_that_is_a_folder_gets_the_file(
    tmp_path: Path, source: Path, tiny_model: Path
) -> None:
    arguments = ["upscale", str(source), str(tmp_path), "--model", str(tiny_model)]
    assert main([*arguments, "--duration", "0.1s"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["clip_x4.mp4"]


def test_a_name_that_begins_with_a_dash_may_follow_two_dashes(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["info", "--", "-film.mp4"]) == 1
    assert "-film.mp4 does not exist" in capfd.readouterr().err


def test_a_config_file_may_give_times_as_a_clock_does(
    tmp_path: Path, source: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("start: 0:01:00.5\n")
    assert main(["upscale", str(source), str(tmp_path / "out.mp4"), "--config", str(config)]) == 1
    assert "60.5" in capfd.readouterr().err


def test_a_name_in_no_known_encoding_is_printed(tmp_path: Path, source: Path) -> None:
    film = tmp_path / os.fsdecode(b"\xe9t\xe9.mp4")
    shutil.copy(source, film)
    done = run_vsr("info", str(film))
    assert done.returncode == 0, done.stderr
    assert r"\udce9t\udce9.mp4" in done.stdout


def test_a_title_cannot_command_the_terminal(
    tmp_path: Path, source: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    film = tmp_path / "film.mkv"
    with av.open(str(source)) as given, av.open(str(film), "w") as output:
        output.metadata["title"] = "\x1b]0;owned\x07\x1b[2J\u202egpj.exe"
        stream = output.add_stream_from_template(given.streams.video[0])
        stream.metadata["title"] = "\x1b[31mred\x9b2J"
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    assert main(["info", str(film)]) == 0
    assert main(["plan", str(film), str(tmp_path / "out.gif")]) == 0
    printed = capfd.readouterr()
    assert r"\x1b[31mred\x9b2J" in printed.out
    shown = printed.out + printed.err
    assert not [letter for letter in shown if letter in "\x1b\x07\x9b\u202e"]


def test_a_terminal_of_ascii_gets_every_name(tmp_path: Path, source: Path) -> None:
    film = tmp_path / "Žluťoučký 映画.mp4"
    shutil.copy(source, film)
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    for command in (["info", str(film)], ["plan", str(film)]):
        done = subprocess.run(
            [sys.executable, "-m", "vsr", *command], capture_output=True, env=ascii_only
        )
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr


def test_a_reader_that_leaves_early_gets_no_trace(source: Path) -> None:
    command = f"{sys.executable} -m vsr info {source} | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr


def test_info_says_what_is_in_a_video(source: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(source)]) == 0
    text = capfd.readouterr().out
    assert all(word in text for word in ("32x24", "h264", "24000/1001", "aac"))


def test_info_says_what_is_in_a_model(tiny_model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tiny_model)]) == 0
    text = capfd.readouterr().out
    assert all(word in text for word in ("UNetVideoModel", "M parameters in F32", "noise_level"))


def test_info_of_nothing_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "nowhere"]) == 1
    assert "nowhere" in capfd.readouterr().err
