"""Every command of the pages is parsed, and is run or says what it needs that is not here."""

import re
import shlex
import shutil
from argparse import ArgumentError
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vsr.cli import main
from vsr.cli.arguments import positionals_first
from vsr.cli.parsers import make_parsers

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# A line of code, indented or fenced, up to a comment.
LINE = re.compile(r"^(?: {4})?(vsr [a-z-][^#\n]*?)(?:\s+#.*|\s*>.*)?$", re.MULTILINE)

# Commands that no test here can run, by what they need; other tests run these commands on data
# and networks of their own.
NEEDED = (
    (r"vsr (train|export|data)\b", "a training set and hours"),
    (r"vsr (benchmark|evaluate)\b", "ground truths, and the networks of the extra eval"),
    (r"vsr convert\b", "published weights"),
    (r"network\.safetensors|--texture PICTURES|--model FOLDER", "a network or pictures of yours"),
    (r"vsr ui\b", "a browser"),
    (r"vsr comfyui\b", "ComfyUI"),
    (r"vsr --print-completion\b", "the extra completion"),
    (r"hf:\w", "a hub"),
)


def blocks(page: Path) -> str:
    """The code of a page: fenced blocks, and lines that are indented by four."""
    text = page.read_text()
    fenced = re.findall(r"^```(?:sh|bash|console|text)?\n(.*?)^```$", text, re.M | re.S)
    indented = [line for line in text.splitlines() if line.startswith("    ")]
    return "\n".join([*fenced, *indented])


def commands() -> list[str]:
    found = [line for page in PAGES for line in LINE.findall(blocks(page))]
    return sorted({re.sub(r"\s+", " ", line).strip() for line in found})


def needed(command: str) -> str | None:
    return next((what for pattern, what in NEEDED if re.search(pattern, command)), None)


COMMANDS = commands()


def test_there_are_commands_in_the_pages() -> None:
    assert len(COMMANDS) > 50
    assert all(any(re.search(pattern, one) for one in COMMANDS) for pattern, _ in NEEDED[:-1])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_understood(command: str) -> None:
    name, *words = [word.strip("[]") for word in shlex.split(command)[1:]]
    _, parsers = make_parsers()
    if name.startswith("--") or (name == "data" and words):
        pytest.skip("it has a parser of its own")
    words = [word for word in words if word not in ("options", "KEY=VALUE", "...")]
    if "--help" in words:
        words.remove("--help")
        words.append("film.mkv")
    try:
        parsers[name].parse_args(positionals_first(words, parsers[name]))
    except ArgumentError as error:
        raise AssertionError(f"{command}: {error}") from error


@pytest.mark.slow
@pytest.mark.parametrize("command", [one for one in COMMANDS if needed(one) is None])
def test_every_command_runs(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [word.strip("[]") for word in shlex.split(command)[1:]]
    outputs = ("film_x4.mkv",) if words[0] == "upscale" else ()
    is_large = "1080" in words or "1920" in words  # at most four times the source
    for word in words:
        if is_large and word.startswith("film."):
            write_film(tmp_path / word, size=(480, 270), frames=2)
        elif word not in outputs:
            make_named(tmp_path, word)
    assert main(words) == 0, capfd.readouterr().err


def make_named(folder: Path, word: str) -> None:
    """Make what a word of a command names, if it is an input."""
    if word in ("FOLDER_OF_FILMS", "FOLDER_OF_VIDEOS", "FOLDER_OF_CLIPS"):
        (folder / word).mkdir()
        write_film(folder / word / "first.mp4")
    elif word in ("FOLDER_OF_PICTURES",):
        (folder / word).mkdir()
        for number in range(3):
            shutil.copy(ROOT / "docs" / "images" / "steady.jpg", folder / word / f"{number}.jpg")
    elif word in ("LIST.txt", "films.txt"):
        write_film(folder / "first.mp4")
        (folder / word).write_text("first.mp4\n")
    elif word in ("film.mkv", "film.mp4", "clip.mp4"):
        write_film(folder / word)
    elif word in ("film_x4.mkv",):
        write_film(folder / word, size=(128, 96))
    elif word in ("bicubic.mp4", "a.mp4", "b.mp4"):
        write_film(folder / word, size=(320, 288), frames=25, rate=Fraction(25))


def write_film(
    path: Path,
    size: tuple[int, int] = (32, 24),
    frames: int = 12,
    rate: Fraction = Fraction(1, 10),
) -> None:
    """A film of two minutes with few frames, so that times of the pages lie in it."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=rate, options={"bf": "0"})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        for picture in moving(size, frames):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))


def moving(size: tuple[int, int], count: int) -> Iterator[np.ndarray]:
    rows, columns = np.mgrid[: size[1], : size[0]]
    for number in range(count):
        wave = 127 + 100 * np.sin((columns - number) / 5 + rows / 7)
        yield np.repeat(wave[..., None], 3, axis=-1).astype(np.uint8)
