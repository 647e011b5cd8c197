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
from vsr.jobs.films import batch_of
from vsr.jobs.job import Job
from vsr.jobs.model import ConfiguredModel
from vsr.jobs.planning.plan import plan
from vsr.jobs.restore_report import upscale_with_restore_report
from vsr.jobs.target import default_output
from vsr.jobs.upscale import upscale
from vsr.upscaling.sizes import Size
from vsr.video.images import encode_png

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


def test_the_plan_names_a_repair_that_is_needed_and_not_asked_for(film: Path) -> None:
    found = str(plan(film, config=replace(CONFIG, restore="dust,weave")))
    assert "there is work for dust" in found
    assert "flicker" in found.partition("; the others")[2]
    assert "must be asked for by name" in found


def test_a_report_of_no_repair_is_refused(tmp_path: Path, film: Path) -> None:
    with pytest.raises(ConfigError, match="give --restore film"):
        upscale_with_restore_report(film, tmp_path / "out.mkv", replace(CONFIG, restore=None))


@pytest.mark.parametrize("value", ["2", "-1", "much"])
def test_a_strength_of_grain_out_of_range_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="from 0"):
        UpscaleConfig(grain=value)


def grey_film(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25, width=64, height=48, pix_fmt="gray")
        for frame in grey_pictures():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode(None))
    return path


def grey_pictures() -> list[np.ndarray]:
    """A soft texture that moves."""
    rng = np.random.default_rng(1)
    wide = rng.integers(20, 230, (12, 24)).repeat(4, 0).repeat(4, 1).astype(np.uint8)
    return [np.ascontiguousarray(wide[:, 2 * n : 2 * n + 64]) for n in range(9)]


def picture_folder(folder: Path, **pictures: np.ndarray) -> Path:
    folder.mkdir()
    for name, picture in pictures.items():
        (folder / f"{name.lstrip('n')}.png").write_bytes(encode_png(picture))
    return folder


def red_and_blue() -> np.ndarray:
    """A reference of frame 4: dark is red, bright is blue."""
    grey = grey_pictures()[4].astype(int)
    bright = grey > 120
    tint = np.where(bright[..., None], (-15, -5, 30), (40, -15, -10))
    return np.clip(grey[..., None] + tint, 0, 255).astype(np.uint8)


def colour_config(folder: Path, **options) -> UpscaleConfig:
    return replace(CONFIG, restore="colour", colour_references=str(folder), **options)


def test_a_grey_film_is_coloured_whatever_the_clips(tmp_path: Path) -> None:
    film = grey_film(tmp_path / "film.mkv")
    folder = picture_folder(tmp_path / "references", n000004=red_and_blue())
    for name, length in (("a", 2), ("b", 16)):
        config = colour_config(folder, max_clip_frames=length)
        upscale(film, tmp_path / f"{name}.mkv", config)
    found = pixels(tmp_path / "a.mkv").astype(int)
    assert np.array_equal(found, pixels(tmp_path / "b.mkv"))
    luma = found @ [0.299, 0.587, 0.114]
    assert np.abs(luma - np.stack(grey_pictures())).max() < 1
    dark = np.stack(grey_pictures()) < 90
    assert (found[..., 0] - found[..., 2])[dark].mean() > 20


def test_a_changed_reference_is_another_run(tmp_path: Path) -> None:
    film = grey_film(tmp_path / "film.mkv")
    folder = picture_folder(tmp_path / "references", n4=red_and_blue())
    job = Job.of(film, tmp_path / "out.mkv", colour_config(folder))
    before = job.identity(ConfiguredModel(job.config))
    (folder / "4.png").write_bytes(encode_png(red_and_blue()[..., ::-1]))
    assert job.identity(ConfiguredModel(job.config)) != before


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("n4", (48, 40), "another shape than the film's 64x48"),
        ("n400", (48, 64), "belongs to a frame of this film"),
        ("nose", (48, 64), "no picture that is named by a frame"),
        (None, (48, 64), "is no folder"),
    ],
)
@pytest.mark.parametrize("repair", ["colour", "holes"])
def test_pictures_that_do_not_fit_the_film_are_refused(
    tmp_path: Path, name: str | None, size: tuple[int, int], said: str, repair: str
) -> None:
    film, folder = grey_film(tmp_path / "film.mkv"), tmp_path / "pictures"
    if name is not None:
        picture_folder(folder, **{name: np.zeros((*size, 3), np.uint8)})
    option = "colour_references" if repair == "colour" else "masks"
    config = replace(CONFIG, restore=repair, **{option: str(folder)})
    with pytest.raises(InputError, match=said):
        Job.of(film, tmp_path / "out.mkv", config)


def test_a_film_with_colours_is_not_coloured(tmp_path: Path, film: Path) -> None:
    folder = picture_folder(tmp_path / "references", n4=red_and_blue())
    with pytest.raises(InputError, match="has colours of its own"):
        upscale(film, tmp_path / "out.mkv", colour_config(folder))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"restore": "colour"}, "give --colour-references FOLDER"),
        ({"restore": "film", "colour_references": "a"}, "as --restore film,colour"),
        ({"masks": "a"}, "as --restore film,holes"),
    ],
)
def test_a_repair_and_its_pictures_come_together(options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        UpscaleConfig(**options)


def test_holes_are_found_where_no_masks_are_given() -> None:
    assert UpscaleConfig(restore="film,holes").masks is None


def test_pictures_of_one_film_are_not_for_a_batch(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    grey_film(tmp_path / "films" / "film.mkv")
    with pytest.raises(ConfigError, match="give the films one by one"):
        batch_of(tmp_path / "films", None, colour_config(tmp_path))
