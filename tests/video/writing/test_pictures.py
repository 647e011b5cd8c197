"""Pictures give pictures: their names, bits, transparency and film headers come from the source."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.jobs.resume.standin import MadeClip
from tests.video.test_stills import picture
from vsr.config import UpscaleConfig
from vsr.errors import InputError, OutputError
from vsr.jobs.upscale import upscale
from vsr.runtime.timing import Timer
from vsr.upscaling.sizes import Size
from vsr.video.images import read_image
from vsr.video.reading.clips import Clip
from vsr.video.stills import still_frame, with_chunks

CONFIG = UpscaleConfig(scale=2.0)


class Squares:
    """Stands for the networks: every pixel becomes a square of four, in as many bits."""

    def __call__(self, clip: Clip) -> MadeClip:
        pixels = [frame.pixels.repeat(2, 0).repeat(2, 1) for frame in clip.frames]
        return MadeClip(np.stack(pixels), tuple(frame.pts for frame in clip.frames))

    def carried(self) -> bytes:
        return b""

    def resume(self, carried: bytes) -> None:
        assert carried == b""


class SquaresModel:
    def identity(self) -> dict[str, str]:
        return {"content of the model": "squares"}

    def load(self, size: Size, timer: Timer) -> Squares:
        return Squares()


def made(source: Path, config: UpscaleConfig = CONFIG, output: Path | None = None) -> Path:
    """The output of a run that doubles the pixels."""
    return upscale(source, output, config, model=SquaresModel()).output


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Three DPX files of 10 bits, which are numbered as scanners do, with a film header."""
    folder = tmp_path / "Show.S01E01"
    folder.mkdir()
    for number in (86399, 86400, 86401):
        path = picture(folder / f"reel1_{number:07d}.dpx", "dpx", "gbrp10le")
        content = bytearray(path.read_bytes())
        film = f"film edge code {number}".encode().ljust(384, b"\0")
        content[801:803] = b"\x01\x02"  # printing density
        struct.pack_into("<I", content, 4, 2048)
        path.write_bytes(bytes(content[:1664]) + film + bytes(content[1664:]))
    return folder


def test_a_folder_of_scans_gives_a_folder_with_their_names_bits_and_film_headers(
    scans: Path,
) -> None:
    output = made(scans)
    assert output == scans.with_name("Show.S01E01_x2")
    assert sorted(p.name for p in output.iterdir()) == sorted(p.name for p in scans.iterdir())
    for path in output.iterdir():
        original = (scans / path.name).read_bytes()
        content = path.read_bytes()
        assert content[:4] == original[:4] == b"XPDS"
        assert content[801:804] == b"\x01\x02\x0a"
        assert content[1664:2048] == original[1664:2048]
        assert struct.unpack_from("<I", content, 16)[0] == len(content)
    large = read_image(output / "reel1_0086399.dpx")
    small = read_image(scans / "reel1_0086399.dpx")
    assert np.array_equal(large, small.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("codec", ["png", "tiff", "exr", "dpx"])
def test_folders_are_written_in_any_codec_of_pictures(scans: Path, codec: str) -> None:
    output = made(scans, UpscaleConfig(scale=2.0, codec=codec))  # pyright: ignore[reportArgumentType]
    names = [f"reel1_{number:07d}.{codec}" for number in (86399, 86400, 86401)]
    assert sorted(path.name for path in output.iterdir()) == names
    large = read_image(output / names[0])
    small = read_image(scans / "reel1_0086399.dpx").repeat(2, 0).repeat(2, 1)
    # Half precision of EXR keeps 11 bits of light, which is more than that of sRGB.
    assert np.abs(large.astype(int) - small).max() <= (40 if codec == "exr" else 0)


def test_a_folder_of_scans_with_the_name_of_a_film_is_a_film(scans: Path) -> None:
    assert made(scans, output=scans.with_name("film.mkv")).is_file()
    assert made(scans, UpscaleConfig(scale=2.0, codec="ffv1")).suffix == ".mkv"


def test_a_part_of_a_folder_keeps_the_names_of_that_part(scans: Path) -> None:
    output = made(scans, UpscaleConfig(scale=2.0, start=0.04, duration=0.04, codec="png"))
    assert [path.name for path in output.iterdir()] == ["reel1_0086400.png"]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "output"),
    [
        ("a.dpx", "dpx", "gbrp10le", "a_x2.dpx"),
        ("a.tga", "targa", "bgr24", "a_x2.png"),
        ("a.jp2", "jpeg2000", "rgb24", "a_x2.png"),
        ("a.ppm", "ppm", "rgb24", "a_x2.png"),
        ("a.tiff", "tiff", "rgb48le", "a_x2.png"),
        ("a.png", "png", "rgb48be", "a_x2.png"),
        ("a.exr", "exr", "gbrpf32le", "a_x2.exr"),
    ],
)
def test_one_picture_gives_one_picture(
    tmp_path: Path, name: str, codec: str, pix_fmt: str, output: str
) -> None:
    path = made(picture(tmp_path / name, codec, pix_fmt))
    assert path.name == output
    small = read_image(tmp_path / name)
    large = read_image(path)
    assert large.dtype == small.dtype
    halves = 40 if output.endswith(".exr") else 0
    assert np.abs(large.astype(int) - small.repeat(2, 0).repeat(2, 1)).max() <= halves


@pytest.mark.parametrize("output", ["b.exr", "b.dpx", "b.tif", "b.png"])
def test_the_name_of_an_output_says_its_kind(tmp_path: Path, output: str) -> None:
    source = picture(tmp_path / "a.png", "png", "rgb24")
    path = made(source, output=tmp_path / output)
    assert still_frame(path).width == 128


def test_a_picture_is_written_to_no_jpeg_and_a_film_to_no_picture(
    tmp_path: Path, scans: Path
) -> None:
    source = picture(tmp_path / "a.png", "png", "rgb24")
    with pytest.raises(OutputError, match=r"one picture is written to .png, .tiff"):
        made(source, output=tmp_path / "b.jpg")
    with pytest.raises(OutputError, match=r"holds one picture, and .* more: give a folder"):
        made(scans, output=tmp_path / "b.tiff")


@pytest.fixture
def transparent(tmp_path: Path) -> Iterator[Path]:
    """Two pictures whose upper half is transparent."""
    folder = tmp_path / "rgba"
    folder.mkdir()
    pixels = np.full((16, 24, 4), 200, np.uint8)
    pixels[..., 3] = 255
    pixels[:8, :, 3] = 0
    for name in ("1.png", "2.png"):
        cv2.imwrite(str(folder / name), pixels)
    yield folder


@pytest.mark.parametrize("codec", ["png", "tiff", "exr"])
def test_transparency_is_kept_where_the_pictures_hold_it(
    transparent: Path, codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    output = made(transparent, UpscaleConfig(scale=2.0, codec=codec))  # pyright: ignore[reportArgumentType]
    frame = still_frame(output / f"1.{codec}").reformat(format="rgba").to_ndarray()
    assert frame.shape == (32, 48, 4)
    assert frame[0, 0, 3] == 0
    assert frame[-1, 0, 3] == 255
    white = 255 if codec != "exr" else 65535
    shown = read_image(output / f"1.{codec}")[-1, 0] / white
    assert shown.tolist() == pytest.approx([200 / 255] * 3, abs=0.001)
    assert "alpha" not in caplog.text


@pytest.mark.parametrize("codec", ["dpx", "x264", "gif"])
def test_transparency_that_is_lost_is_said(
    transparent: Path, codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    made(transparent, UpscaleConfig(scale=2.0, codec=codec))  # pyright: ignore[reportArgumentType]
    assert caplog.text.count("has an alpha channel, which") == 1


def test_an_opaque_alpha_channel_is_not_mentioned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((16, 16, 4), 255, np.uint8))
    made(tmp_path / "a.png", output=tmp_path / "b.mkv")
    assert "alpha" not in caplog.text


def test_pictures_of_one_name_keep_their_endings(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "a.bmp"):
        cv2.imwrite(str(folder / name), np.full((16, 16, 3), 90, np.uint8))
    output = made(folder, UpscaleConfig(scale=2.0, codec="png"))
    assert sorted(path.name for path in output.iterdir()) == ["a.bmp.png", "a.png.png"]


@pytest.mark.parametrize("broken", ["1.png", "2.png"])
def test_a_broken_picture_is_named_and_with_tolerant_left_out(
    tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(1, 4):
        picture(folder / f"{number}.png", "png", "rgb24")
    (folder / broken).write_bytes((folder / broken).read_bytes()[:60])
    with pytest.raises(InputError, match=rf"{broken} is not a picture .*; --tolerant leaves it"):
        made(folder)
    config = UpscaleConfig(scale=2.0, codec="png", tolerant=True)
    output = made(folder, config, tmp_path / "out")
    kept = [name for name in ("1.png", "2.png", "3.png") if name != broken]
    assert sorted(path.name for path in output.iterdir()) == kept
    assert f"{broken} is not a picture" in caplog.text


def test_the_colour_chunks_of_a_png_stay(tmp_path: Path) -> None:
    chunk = b"gAMA" + struct.pack(">I", 100000)
    whole = struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path = picture(tmp_path / "a.png", "png", "rgb24")
    path.write_bytes(with_chunks(path.read_bytes(), [whole]))
    assert whole in made(path).read_bytes()
