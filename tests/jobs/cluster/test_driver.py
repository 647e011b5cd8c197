import os
import signal
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.cluster.kills import kill_at_random
from tests.jobs.cluster.standin import CONFIG, PacedModel, paced
from tests.jobs.resume.kills import clips_by_process, make_film
from tests.jobs.resume.standin import EchoModel
from tests.networks import compact, saved
from vsr.config import UpscaleConfig
from vsr.errors import ConfigError, InputError
from vsr.jobs.cluster.driver import upscale_batch_on, upscale_on
from vsr.jobs.cluster.offered_film import OfferedFilm, SourceFile
from vsr.jobs.cluster.worker import ShotTask, ShotWorker
from vsr.jobs.films import BatchFilm, batch_of
from vsr.jobs.resume.identity import source_identity
from vsr.jobs.resume.work_folder import Span
from vsr.jobs.upscale import upscale
from vsr.runtime.executor import Executor, WorkerBrokenError, WorkerOptions, open_executor
from vsr.runtime.executor_files import read_file
from vsr.video.reading.clips import Clip

SHOTS = (9, 14, 6, 17, 5)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4", SHOTS)


@pytest.fixture(scope="module")
def whole(film: Path) -> bytes:
    output = film.with_name("whole.mp4")
    upscale(film, output, CONFIG, model=EchoModel())
    return output.read_bytes()


@pytest.fixture(scope="module")
def here() -> Iterator[Executor]:
    with open_executor(WorkerOptions()) as executor:
        yield executor


@pytest.fixture(scope="module")
def two() -> Iterator[Executor]:
    with open_executor(WorkerOptions(processes=2)) as executor:
        yield executor


def left(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if "vsr" in path.name]


def test_in_this_process_the_bytes_are_those_of_a_plain_run(
    tmp_path: Path, film: Path, whole: bytes, here: Executor
) -> None:
    output = tmp_path / "out.mp4"
    report = upscale_on(here, film, output, CONFIG, load_model=paced)
    assert output.read_bytes() == whole
    assert (report.frames, report.shots) == (sum(SHOTS), (0, 9, 23, 29, 46))
    assert not left(tmp_path)


def test_two_workers_share_the_shots_and_write_the_bytes_of_one_process(
    tmp_path: Path, film: Path, whole: bytes, two: Executor
) -> None:
    output, log = tmp_path / "out.mp4", tmp_path / "log"
    load = partial(paced, pace=0.1, log=log)
    upscale_on(two, film, output, CONFIG, load_model=load)
    assert output.read_bytes() == whole
    assert len(clips_by_process(log)) == 2
    assert not left(tmp_path)


@pytest.mark.parametrize(
    "options",
    [{"start": 0.5, "duration": 1.2}, {"restore": "flicker,dust,fading"}, {"codec": "ffv1"}],
    ids=["part", "repairs", "intra"],
)
@pytest.mark.slow
def test_with_other_options_too_the_bytes_are_those_of_one_process(
    tmp_path: Path, film: Path, two: Executor, options: Mapping[str, Any]
) -> None:
    config = replace(CONFIG, **options)
    outputs = tmp_path / "one.mkv", tmp_path / "two.mkv"
    upscale(film, outputs[0], config, model=EchoModel())
    upscale_on(two, film, outputs[1], config, load_model=partial(paced, pace=0.05))
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


@dataclass(frozen=True)
class FailingModel(PacedModel):
    """Fails at a frame, once, or kills its process there."""

    at: int = 0
    mark: Path = Path()
    kills: bool = False

    def _begin_clip(self, clip: Clip) -> None:
        super()._begin_clip(clip)
        if clip.first_frame_index == self.at and not self.mark.exists():
            self.mark.touch()
            if self.kills:
                os.kill(os.getpid(), signal.SIGKILL)
            raise InputError("a clip has failed")


def failing(config: UpscaleConfig, **options: Any) -> FailingModel:
    del config
    return FailingModel(**options)


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_its_shot_goes_on(
    tmp_path: Path, film: Path, whole: bytes, two: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "out.mp4"
    load = partial(failing, at=17, mark=tmp_path / "mark", kills=True)
    upscale_on(two, film, output, CONFIG, load_model=load)
    assert output.read_bytes() == whole
    assert "died (SIGKILL): its task runs again" in caplog.text


def test_a_run_that_stopped_goes_on_with_what_is_left(
    tmp_path: Path, film: Path, whole: bytes, here: Executor
) -> None:
    output, log = tmp_path / "out.mp4", tmp_path / "log"
    load = partial(failing, at=26, mark=tmp_path / "mark", log=log)
    with pytest.raises(InputError, match="a clip has failed"):
        upscale_on(here, film, output, CONFIG, load_model=load)
    assert not output.exists()
    log.unlink()
    upscale_on(here, film, output, CONFIG, load_model=load)
    assert output.read_bytes() == whole
    begun = [int(line.split()[1]) for line in log.read_text().splitlines()]
    assert min(begun) == 26


@pytest.mark.slow
def test_a_plain_run_goes_on_with_the_work_of_workers(
    tmp_path: Path, film: Path, whole: bytes, here: Executor
) -> None:
    output = tmp_path / "out.mp4"
    load = partial(failing, at=26, mark=tmp_path / "mark")
    with pytest.raises(InputError, match="a clip has failed"):
        upscale_on(here, film, output, CONFIG, load_model=load)
    upscale(film, output, CONFIG, model=EchoModel())
    assert output.read_bytes() == whole


@pytest.mark.slow
def test_films_share_the_workers_and_one_that_fails_does_not_stop_the_others(
    tmp_path: Path, film: Path, whole: bytes, two: Executor
) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.mp4").write_bytes(film.read_bytes())
    (folder / "b.mp4").write_bytes(b"no film")
    batch = batch_of(folder, tmp_path / "outputs", CONFIG)
    assert batch is not None
    report = upscale_batch_on(two, batch, CONFIG, load_model=paced)
    assert [one.source.name for one, _ in report.failed] == ["b.mp4"]
    outputs = sorted((tmp_path / "outputs").glob("*.mp4"))
    assert [path.read_bytes() == whole for path in outputs] == [True, True]
    again = upscale_batch_on(two, batch, CONFIG, load_model=paced)
    assert len(again.done) == 2


def task(film: Path, output: Path, **identity: Any) -> ShotTask:
    """A task for the first shot of a film, as a driver gives it that sees the film."""
    marks = source_identity(film) if film.exists() else {}
    files = (SourceFile(film, 1, 0, film.name),)
    offered = OfferedFilm(
        BatchFilm(film, output), "driver", "token", {**marks, **identity}, files, read_file
    )
    return ShotTask(offered, Span(0, 9), (0,))


def test_a_worker_names_a_source_that_it_does_not_see(tmp_path: Path) -> None:
    worker = ShotWorker(CONFIG, paced)
    with pytest.raises(InputError, match=f"on {socket.gethostname()} does not see .*missing.mp4"):
        worker(task(tmp_path / "missing.mp4", tmp_path / "out.mp4"), print)


def test_a_worker_that_would_make_other_bytes_is_refused(tmp_path: Path, film: Path) -> None:
    worker = ShotWorker(CONFIG, paced)
    older = task(film, tmp_path / "out.mp4", **{"version of vsr": "0.0.1"})
    with pytest.raises(ConfigError, match=r"other bytes: version of vsr was 0.0.1 and is"):
        worker(older, print)


class WithoutGpu(EchoModel):
    def identity(self) -> Mapping[str, Any]:
        raise RuntimeError("CUDA error: device-side assert triggered\nmore lines")


def test_a_gpu_that_fails_ends_its_worker(tmp_path: Path, film: Path) -> None:
    worker = ShotWorker(CONFIG, lambda config: WithoutGpu())
    with pytest.raises(WorkerBrokenError, match=r"GPU of a worker on .* failed \(CUDA error"):
        worker(task(film, tmp_path / "out.mp4"), print)


@pytest.mark.slow
def test_a_real_network_on_two_workers_writes_the_bytes_of_one_process(
    tmp_path: Path, film: Path, two: Executor
) -> None:
    network = saved(compact(), tmp_path / "network.safetensors")
    config = replace(CONFIG, model=str(network), device="cpu", texture="none")
    outputs = tmp_path / "one.mp4", tmp_path / "two.mp4"
    upscale(film, outputs[0], config)
    upscale_on(two, film, outputs[1], config)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_on_ray_too_the_bytes_are_those_of_one_process(
    tmp_path: Path, film: Path, whole: bytes
) -> None:
    output = tmp_path / "out.mp4"
    with open_executor(WorkerOptions(cluster="auto")) as executor:
        upscale_on(executor, film, output, CONFIG, load_model=paced)
    assert output.read_bytes() == whole


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [
        ("--processes", "2"),
        pytest.param(
            ("--cluster", "auto"),
            marks=pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
        ),
    ],
    ids=["processes", "ray"],
)
def test_workers_and_drivers_killed_at_random_end_in_the_bytes_of_one_process(
    tmp_path: Path, place: tuple[str, ...]
) -> None:
    kill_at_random(tmp_path, 0, workers=10, drivers=5, place=place)
