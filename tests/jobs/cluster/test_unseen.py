"""Workers that do not see the source or the work folder get a copy, and send their parts."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import pytest

from tests.jobs.cluster.standin import CONFIG, SPLIT, PacedModel, paced
from tests.jobs.cluster.test_driver import SHOTS
from tests.jobs.resume.kills import clips_by_process, film_pictures, make_film
from tests.jobs.resume.standin import EchoModel
from vsr.config import UpscaleConfig
from vsr.errors import InputError, OutputError
from vsr.jobs.cluster.driver import upscale_on
from vsr.jobs.cluster.folders import SentFact, store_sent
from vsr.jobs.cluster.offered_film import OfferedFilm
from vsr.jobs.cluster.worker import ShotTask, ShotWorker
from vsr.jobs.films import BatchFilm
from vsr.jobs.job import Job
from vsr.jobs.resume.identity import source_identity
from vsr.jobs.resume.journal import EndFact
from vsr.jobs.resume.work_folder import Span, WorkFolder
from vsr.jobs.upscale import upscale
from vsr.runtime.executor import WorkerOptions, open_executor
from vsr.runtime.executor_files import read_file
from vsr.runtime.launcher import ALONE


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4", SHOTS)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of this process."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def offered(source: Path, output: Path) -> OfferedFilm:
    """A film as its driver offers it; nobody has made its work folder."""
    job = Job.of(source, output, CONFIG)
    return OfferedFilm.of(job, "token", job.identity(EchoModel()), read_file)


def hidden(film: OfferedFilm, place: Path) -> OfferedFilm:
    """The film under a path at which there is nothing."""
    source = place / film.film.source.name
    return replace(film, film=BatchFilm(source, film.film.output))


def test_the_parts_of_a_worker_that_sees_no_work_folder_are_stored_by_the_driver(
    tmp_path: Path, film: Path, scratch: Path
) -> None:
    output = tmp_path / "out.mp4"
    told: list[Any] = []
    worker = ShotWorker(CONFIG, paced)
    assert worker(ShotTask(offered(film, output), Span(0, 9), (0,)), told.append) == (0,)
    assert not list(tmp_path.glob("*.vsr"))
    sent = [one for one in told if isinstance(one, SentFact)]
    with WorkFolder(output, {"version of vsr": "1"}, ranks=ALONE) as work:
        for one in sent[:-1]:
            store_sent(work, one)
        assert not work.progress(0).ended
        assert sent[-1].fact == EndFact(9)
        store_sent(work, sent[-1])
        assert work.progress(0).ended


def test_a_part_that_comes_damaged_is_refused(tmp_path: Path, film: Path, scratch: Path) -> None:
    output = tmp_path / "out.mp4"
    told: list[Any] = []
    ShotWorker(CONFIG, paced)(ShotTask(offered(film, output), Span(0, 9), (0,)), told.append)
    sent = next(one for one in told if isinstance(one, SentFact))
    with (
        WorkFolder(output, {"version of vsr": "1"}, ranks=ALONE) as work,
        pytest.raises(OutputError, match="came damaged"),
    ):
        store_sent(work, replace(sent, content=b"other"))


def test_a_worker_copies_a_source_that_it_does_not_see_once(
    tmp_path: Path, film: Path, scratch: Path
) -> None:
    reads: list[Path] = []

    def read(path: Path) -> Iterator[bytes]:
        reads.append(path)
        return read_file(path)

    unseen = hidden(replace(offered(film, tmp_path / "out.mp4"), read=read), tmp_path / "nowhere")
    worker = ShotWorker(CONFIG, paced)
    for span, cuts in ((Span(0, 9), (0,)), (Span(9, 23), (0, 9))):
        worker(ShotTask(unseen, span, cuts), lambda value: None)
    assert reads == [film.resolve()]
    assert [path.name for path in scratch.glob("*/film.mp4")] == ["film.mp4"]
    worker.close()
    assert not list(scratch.iterdir())


def test_another_file_at_the_path_of_the_source_is_not_taken(
    tmp_path: Path, film: Path, scratch: Path
) -> None:
    place = tmp_path / "here"
    place.mkdir()
    make_film(place / "film.mp4", [4, 5])
    unseen = hidden(offered(film, tmp_path / "out.mp4"), place)
    told: list[Any] = []
    worker = ShotWorker(CONFIG, paced)
    worker(ShotTask(unseen, Span(0, 9), (0,)), told.append)
    assert [one.fact.frames for one in told if isinstance(one, SentFact)] == [9, 9]
    worker.close()


def test_a_folder_of_pictures_is_copied_with_its_names(tmp_path: Path, scratch: Path) -> None:
    source = tmp_path / "pictures"
    source.mkdir()
    for number, picture in enumerate(film_pictures([3])):
        cv2.imwrite(str(source / f"{number}.png"), picture)
    copy = offered(source, tmp_path / "out.mp4").copied(scratch)
    assert copy == scratch / "pictures"
    assert source_identity(copy) == source_identity(source)


def test_a_source_for_which_there_is_no_room_is_named(
    tmp_path: Path, film: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    unseen = hidden(offered(film, tmp_path / "out.mp4"), tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"does not see .* got no copy .*0.0 GB left; TMPDIR"):
        unseen.copied(scratch)


def elsewhere(config: UpscaleConfig, folder: Path, **options: Any) -> PacedModel:
    """Puts a worker into a folder of its own, so that it does not see paths of /proc/self/cwd."""
    os.chdir(folder)
    tempfile.tempdir = str(folder)
    return paced(config, **options)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="each process sees its own folder")
@pytest.mark.parametrize("config", [CONFIG, SPLIT], ids=["shots", "pieces"])
@pytest.mark.parametrize(
    "options",
    [
        WorkerOptions(processes=2),
        pytest.param(
            WorkerOptions(cluster="auto"),
            marks=pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
        ),
    ],
    ids=["processes", "ray"],
)
def test_with_workers_that_see_nothing_the_bytes_are_those_of_one_process(
    tmp_path: Path,
    film: Path,
    config: UpscaleConfig,
    options: WorkerOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, workers = tmp_path / "whole.mkv", tmp_path / "workers"
    upscale(film, whole, config, model=paced(config))
    workers.mkdir()
    shutil.copy(film, tmp_path / "source.mp4")
    monkeypatch.chdir(tmp_path)
    load = partial(elsewhere, folder=workers, pace=0.05, log=tmp_path / "log")
    here = Path("/proc/self/cwd")
    with open_executor(options) as executor:
        upscale_on(executor, here / "source.mp4", here / "out.mkv", config, load_model=load)
    assert (tmp_path / "out.mkv").read_bytes() == whole.read_bytes()
    assert len(clips_by_process(tmp_path / "log")) == 2
    deadline = time.monotonic() + 20
    while list(workers.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
