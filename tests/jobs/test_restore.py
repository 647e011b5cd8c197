"""Repairs from file to file: same size, same streams, and the same frames whatever the clips."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.decoded import pixels, times
from tests.video.reading.test_deinterlace import interlaced
from vsr.cli import main
from vsr.config import NO_MODEL, UpscaleConfig
from vsr.errors import ConfigError, InputError
from vsr.jobs.job import Job
from vsr.jobs.restore_report import upscale_with_restore_report
from vsr.jobs.target import default_output
from vsr.jobs.upscale import upscale
from vsr.upscaling.sizes import Size

CONFIG = UpscaleConfig(model=NO_MODEL, restore="film", lossless=True)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shots that flicker, with specks: lossless, and with times that are not even."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25, width=64, height=48, pix_fmt="bgr0")
        stream.time_base = Fraction(1, 1000)
        for number in range(24):
            if number in (0, 12):
                scene = rng.integers(0, 200, (6, 8, 3)).repeat(8, 0).repeat(8, 1)
            pixels = scene * rng.uniform(0.8, 1.0)
            row, column = rng.integers(0, 44, 2)
            pixels[row : row + 3, column : column + 3] = 250
            frame = av.VideoFrame.from_ndarray(pixels.astype(np.uint8), format="rgb24")
            frame.pts = 40 * number + number % 3
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_restored_film_has_its_size_and_its_times(tmp_path: Path, film: Path) -> None:
    report = upscale(film, tmp_path / "out.mkv", CONFIG)
    assert (report.frames, report.size) == (24, Size(48, 64))
    assert times(tmp_path / "out.mkv") == times(film)
    assert not np.array_equal(pixels(tmp_path / "out.mkv"), pixels(film))


def test_without_a_repair_every_pixel_stays(tmp_path: Path, film: Path) -> None:
    upscale(film, tmp_path / "out.mkv", replace(CONFIG, restore=None))
    assert np.array_equal(pixels(tmp_path / "out.mkv"), pixels(film))


def test_the_length_of_clips_changes_no_pixel(tmp_path: Path, film: Path) -> None:
    for name, length in (("a", 3), ("b", 16)):
        upscale(film, tmp_path / f"{name}.mkv", replace(CONFIG, max_clip_frames=length))
    assert np.array_equal(pixels(tmp_path / "a.mkv"), pixels(tmp_path / "b.mkv"))


def test_the_output_is_named_after_what_was_done(film: Path) -> None:
    assert default_output(film, replace(CONFIG, lossless=False), native=1).stem == "film_restored"


def test_the_command_restores_with_all_repairs(tmp_path: Path, film: Path) -> None:
    output = tmp_path / "out.mkv"
    assert main(["restore", str(film), str(output), "--lossless"]) == 0
    upscale(film, tmp_path / "same.mkv", CONFIG)
    assert np.array_equal(pixels(output), pixels(tmp_path / "same.mkv"))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("film", {"weave": 1.0, "flicker": 1.0, "dust": 1.0, "grain": 1.0}),
        ("dust=0.8,flicker", {"dust": 0.8, "flicker": 1.0}),
        (
            "film,weave=0,scratches",
            {"weave": 0.0, "flicker": 1.0, "dust": 1.0, "grain": 1.0, "scratches": 1.0},
        ),
        (None, {}),
    ],
)
def test_repairs_are_named_with_strengths(value: str | None, found: dict[str, float]) -> None:
    assert UpscaleConfig(restore=value).repairs == found


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("dist", "did you mean dust?"),
        ("dust=2", "from 0 (off) to 1 (whole)"),
        ("dust=much", "from 0 (off) to 1 (whole)"),
        ("", "unknown repair ''"),
    ],
)
def test_an_unknown_repair_or_strength_is_refused(value: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        UpscaleConfig(restore=value)
    assert said in str(raised.value)


def test_a_film_whose_fields_stay_woven_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fields.mkv"
    with av.open(str(path), "w") as container:
        pictures = interlaced(30, top_first=True)
        height, width = pictures[0].shape[:2]
        stream = container.add_stream("ffv1", rate=25, width=width, height=height)
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="leave out --deinterlace off"):
        Job.of(path, tmp_path / "out.mkv", replace(CONFIG, deinterlace="off"))
    Job.of(path, tmp_path / "out.mkv", CONFIG)


def test_the_report_shows_the_wear_and_the_worst_frames(tmp_path: Path, film: Path) -> None:
    output = tmp_path / "out.mkv"
    assert main(["restore", str(film), str(output), "--lossless", "--restore-report"]) == 0
    page = (tmp_path / "out.restore.html").read_text()
    for part in ("dust in", "repaired pixels", "Temporal profile", "before"):
        assert part in page


def test_a_report_of_no_repair_is_refused(tmp_path: Path, film: Path) -> None:
    with pytest.raises(ConfigError, match="give --restore film"):
        upscale_with_restore_report(film, tmp_path / "out.mkv", replace(CONFIG, restore=None))


@pytest.mark.parametrize("value", ["2", "-1", "much"])
def test_a_strength_of_grain_out_of_range_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="from 0"):
        UpscaleConfig(grain=value)
