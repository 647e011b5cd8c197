"""A work folder that somebody else wrote, or that is damaged: the same bytes, or one line."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.resume.kills import CLIP_FRAMES, make_film
from tests.jobs.resume.standin import EchoModel
from vsr.config import UpscaleConfig
from vsr.errors import VsrError
from vsr.jobs.resume.journal import store_bytes
from vsr.jobs.upscale import upscale
from vsr.video.reading.clips import Clip

CONFIG = UpscaleConfig(max_clip_frames=CLIP_FRAMES)
ODD: tuple[Any, ...] = (None, -1, "x", True, 1.5, 1 << 70, [], {}, [1], "../../film.mp4", "/etc/x")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a film and the work of a run that ended in the middle of its third shot."""
    folder = tmp_path_factory.mktemp("begun")
    film = make_film(folder / "film.mp4", (6, 5, 14))

    def stop(clip: Clip) -> None:
        if clip.first_frame_index == 19:
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        upscale(film, folder / "out.mp4", CONFIG, model=EchoModel(stop))
    return folder


@pytest.fixture(scope="module")
def whole(begun: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    output = tmp_path_factory.mktemp("whole") / "out.mp4"
    upscale(begun / "film.mp4", output, CONFIG, model=EchoModel())
    return output.read_bytes()


def changed(value: Any, odd: Any) -> Iterator[Any]:
    """Yield copies of a value of JSON, each with another of its inner values made odd."""
    yield odd
    if isinstance(value, dict):
        for key in value:
            yield {name: part for name, part in value.items() if name != key}
            yield from ({**value, key: part} for part in changed(value[key], odd))
    if isinstance(value, list):
        for place in range(len(value)):
            for part in changed(value[place], odd):
                yield [*value[:place], part, *value[place + 1 :]]


def check(folder: Path, whole: bytes) -> None:
    """Resume, and compare what is there after it."""
    film = (folder / "film.mp4").read_bytes()
    (folder / "mine.txt").write_text("mine")
    try:
        upscale(folder / "film.mp4", folder / "out.mp4", CONFIG, model=EchoModel())
    except VsrError as error:
        assert "\n" not in str(error)
    else:
        assert (folder / "out.mp4").read_bytes() == whole
    assert (folder / "film.mp4").read_bytes() == film
    assert (folder / "mine.txt").read_text() == "mine"
    assert {path.name for path in folder.iterdir()} <= {
        *("film.mp4", "mine.txt", "out.mp4", "out.mp4.vsr")
    }


def cases(folder: Path) -> Iterator[tuple[str, int, Any]]:
    """Yield names of files, numbers of their lines, and what to write there."""
    for path in sorted((folder / "out.mp4.vsr").glob("*.json*")):
        for number, line in enumerate(path.read_text().splitlines()):
            for odd in ODD:
                for content in changed(json.loads(line), odd):
                    yield path.name, number, content


@pytest.mark.parametrize("every", [97, pytest.param(1, marks=pytest.mark.slow)])
def test_odd_values_in_the_files_of_a_run_do_no_harm(
    tmp_path: Path, begun: Path, whole: bytes, every: int
) -> None:
    for place, (name, number, content) in enumerate(cases(begun)):
        if place % every:
            continue
        folder = tmp_path / str(place)
        shutil.copytree(begun, folder)
        path = folder / "out.mp4.vsr" / name
        lines = path.read_text().splitlines()
        lines[number] = json.dumps(content)
        path.write_text("".join(f"{line}\n" for line in lines))
        check(folder, whole)
        shutil.rmtree(folder)


@pytest.mark.parametrize("ending", [".part", ".pixels", ".state"])
@pytest.mark.parametrize("content", [b"", b"\x00" * 99, b"\x93NUMPY\x01\x00", b'{"x": 1}\n'])
def test_finished_work_that_is_not_what_it_says_ends_in_one_line(
    tmp_path: Path, begun: Path, whole: bytes, ending: str, content: bytes
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(begun, folder)
    for journal in (folder / "out.mp4.vsr").glob("*.jsonl"):
        facts = [json.loads(line) for line in journal.read_text().splitlines()]
        for fact in facts:
            stored = fact.get(ending[1:])
            if stored is not None:
                shot = journal.with_suffix("")
                if (shot / stored["name"]).exists():
                    made = store_bytes(shot / stored["name"], content)
                    stored |= {"size": made.size, "sha256": made.sha256}
        journal.write_text("".join(f"{json.dumps(fact)}\n" for fact in facts))
    try:
        upscale(folder / "film.mp4", folder / "out.mp4", CONFIG, model=EchoModel())
    except VsrError as error:
        assert "\n" not in str(error)
