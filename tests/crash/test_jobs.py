"""A job that is killed at any change of its files resumes to the same bytes."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash.points import LibraryWrite, crash, crashes
from tests.jobs.resume.kills import CLIP_FRAMES, make_film
from tests.jobs.resume.standin import EchoModel
from vsr.config import UpscaleConfig
from vsr.errors import OutputError
from vsr.jobs.batch import upscale_batch
from vsr.jobs.films import batch_of
from vsr.jobs.resume import shot_store
from vsr.jobs.resume.own_files import work_places
from vsr.jobs.upscale import upscale
from vsr.video.writing.output_file import OutputFile

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

WRITES = (LibraryWrite(OutputFile, "add", None), LibraryWrite(OutputFile, "__exit__", None))
"""FFmpeg writes the joined film: a kill in between leaves a part of it."""

FOREIGN = {
    "notes.txt": "mine",
    "out.vsr.txt": "mine",
    "out.vsr.mine/job.json": "mine",
    "out.mp4.vsr.old.mine/00000000/00000000.part": "mine",
    ".removed_out/film.mp4": "mine",
    ".out.mp4.99999.partial": "mine",
    "partial.mp4": "mine",
    "films_upscaled.mine/film.mp4": "mine",
}
"""Files of a person, under names like those of a run."""


@dataclass(frozen=True)
class Job:
    """A film, or a batch of films, and its output, by names in a folder."""

    source: str
    output: str
    overwrite: bool = False
    is_batch: bool = False

    def prepare(self, folder: Path, film: Path) -> Path:
        """Make the folder: the source, files of a person, and an output to be replaced."""
        for name, content in FOREIGN.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        (folder / self.source).parent.mkdir(exist_ok=True)
        shutil.copy(film, folder / self.source)
        if self.is_batch:
            shutil.copy(film, (folder / self.source).with_name("other.mp4"))
        if self.overwrite:
            self._make_old(folder / self.output)
        return folder

    def run(self, folder: Path) -> None:
        """Do the job, or the rest of it."""
        config = UpscaleConfig(max_clip_frames=CLIP_FRAMES, overwrite=self.overwrite)
        if self.output == "out":
            config = UpscaleConfig(
                max_clip_frames=CLIP_FRAMES, overwrite=self.overwrite, codec="png"
            )
        if not self.is_batch:
            is_begun = any(path.exists() for path in work_places(folder / self.output))
            try:
                upscale(folder / self.source, folder / self.output, config, model=EchoModel())
            except OutputError as error:  # killed after the removal of all but the output
                assert "exists; choose another name" in str(error)
                assert not is_begun
            return
        batch = batch_of((folder / self.source).parent, folder / self.output, config)
        assert batch is not None
        upscale_batch(batch, config, model=EchoModel()).check()

    def _make_old(self, output: Path) -> None:
        if output.suffix:
            output.write_text("an older output")
            return
        output.mkdir()
        for number in range(99):
            (output / f"{number:08d}.png").write_text("an older picture")


JOBS = {
    "a film": Job("film.mp4", "out.mp4"),
    "a film that replaces another": Job("film.mp4", "out.mkv", overwrite=True),
    "a folder of pictures": Job("film.mp4", "out"),
    "a folder that replaces another": Job("film.mp4", "out", overwrite=True),
    "a GIF": Job("film.mp4", "out.gif"),
    "a batch": Job("films/film.mp4", "made", is_batch=True),
}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4", (9, 3))


@pytest.fixture
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Close parts in the middle of a shot."""
    monkeypatch.setattr(shot_store, "PART_FRAMES", 2 * CLIP_FRAMES)


def content(folder: Path) -> Mapping[str, bytes]:
    """The files in a folder, by name."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def check_all(
    name: str, folder: Path, film: Path, *, every: int, again: Callable[[int, Path], None]
) -> int:
    """Kill the job at every so many points, and compare all files after it was resumed.

    `again` gets the number of the point and the folder, before the job runs to its end.
    """
    job = JOBS[name]
    whole = folder / "whole"
    job.run(job.prepare(whole, film))
    expected = content(whole)
    points = 0
    for run in crashes(
        lambda number: job.prepare(folder / str(number), film), job.run, every=every, writes=WRITES
    ):
        points += 1
        left = content(run)
        assert all(left.get(other) == b"mine" for other in FOREIGN), f"{run}: a person's file"
        again(points, run)
        job.run(run)
        found = content(run)
        assert found.keys() == expected.keys(), run
        assert found == expected, run
        shutil.rmtree(run)
    return points


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("name", JOBS)
def test_a_job_killed_at_some_of_its_changes_resumes_to_the_same_files(
    tmp_path: Path, film: Path, name: str
) -> None:
    assert check_all(name, tmp_path, film, every=97, again=lambda *_: None) > 1


@pytest.mark.slow
@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("name", JOBS)
def test_a_job_killed_at_each_of_its_changes_resumes_to_the_same_files(
    tmp_path: Path, film: Path, name: str
) -> None:
    assert check_all(name, tmp_path, film, every=1, again=lambda *_: None) > 100


@pytest.mark.slow
@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize("name", JOBS)
def test_a_job_killed_twice_resumes_to_the_same_files(
    tmp_path: Path, film: Path, name: str
) -> None:
    def again(number: int, run: Path) -> None:
        crash(1 + number * 37 % 113, lambda: JOBS[name].run(run), writes=WRITES)

    assert check_all(name, tmp_path, film, every=5, again=again) > 20
