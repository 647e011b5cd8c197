"""A job probes its source once, and estimates its frames in one way."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.jobs.resume.kills import CLIP_FRAMES, SHOTS, make_film
from tests.jobs.resume.standin import EchoModel
from vsr.config import UpscaleConfig
from vsr.jobs.job import Job
from vsr.jobs.upscale import upscale
from vsr.video import probe


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4")


def test_the_source_of_a_run_is_probed_once(
    tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed: list[Path] = []
    original = probe._probe_stream

    def counted(path: Path, *rest: object) -> probe.VideoInfo:
        probed.append(path)
        return original(path, *rest)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(probe, "_probe_stream", counted)
    config = UpscaleConfig(max_clip_frames=CLIP_FRAMES)
    upscale(film, tmp_path / "out.mp4", config, model=EchoModel())
    assert probed == [film]


def test_a_run_says_that_a_folder_of_scans_becomes_a_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    cv2.imwrite(str(scans / "1.tif"), np.full((24, 32, 3), 90, np.uint8))
    line = f"a folder of scans: writing {tmp_path / 'scans_x4'}; for a film give its name"
    with caplog.at_level("INFO"):
        upscale(scans, None, UpscaleConfig(), model=EchoModel())
    assert caplog.messages.count(line) == 1
    caplog.clear()
    with caplog.at_level("INFO"):
        upscale(scans, tmp_path / "named", UpscaleConfig(codec="png"), model=EchoModel())
    assert line not in caplog.messages


@pytest.mark.parametrize(
    ("start", "duration", "frames"),
    [(0, None, 51), (1, None, 27), (0, 0.5, 12), (1.5, 0.5, 12), (0, 0.51, 13), (0, 100, 51)],
)
def test_the_expected_frames_are_those_of_the_part_that_is_asked_for(
    film: Path, start: float, duration: float | None, frames: int
) -> None:
    assert sum(SHOTS) == 51
    config = UpscaleConfig(start=start, duration=duration)
    assert Job.of(film, None, config).expected_frames == frames


def test_a_folder_of_pictures_has_its_number_of_frames_at_any_rate(tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((16, 16, 3), np.uint8))
    job = Job.of(tmp_path, None, UpscaleConfig(fps="16"))
    assert (job.expected_frames, job.info.average_rate) == (3, Fraction(16))
