import logging
from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
import pytest

from tests.video.conftest import pictures
from vsr.errors import InputError
from vsr.video.reading.reader import Frame, VideoReader
from vsr.video.times import exact_seconds

MPEG2 = {"codec": "mpeg2video", "time_base": Fraction(1, 25)}


def read(path, **options) -> list[Frame]:
    with VideoReader(path, **options) as reader:
        return list(reader)


def cut_off(path, share: float):
    """The file without its end."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def test_every_frame_comes_with_the_pts_and_time_base_of_the_file(make_video):
    pts = [0, 512, 700, 1900, 2000, 9000]
    frames = read(make_video(frames=6, pts=pts))
    assert [frame.pts for frame in frames] == pts
    assert {frame.time_base for frame in frames} == {Fraction(1, 12800)}
    assert frames[3].seconds == Fraction(1900, 12800)


def test_pixels_are_rgb_and_close_to_what_was_encoded(make_video):
    frames = read(make_video(pix_fmt="yuv444p", options={"qp": "4"}))
    for frame, wanted in zip(frames, pictures(12), strict=True):
        assert frame.pixels.dtype == np.uint8
        np.testing.assert_allclose(frame.pixels.astype(int), wanted, atol=6)


def test_reading_is_lazy(make_video):
    with VideoReader(make_video(frames=200)) as reader:
        assert next(reader).pts == 0
        assert next(reader).pts == 512


@pytest.mark.parametrize("name", ["source.mp4", "source.mkv"])
@pytest.mark.parametrize("gop", [1, 7, 250])
def test_a_range_is_the_same_frames_as_in_the_whole(make_video, name, gop):
    path = make_video(name, frames=40, options={"g": str(gop), "crf": "12"})
    whole = read(path)
    part = read(path, start=0.6, duration=0.4)
    assert [frame.seconds for frame in part] == [Fraction(n, 25) for n in range(15, 25)]
    for frame, other in zip(part, whole[15:25], strict=True):
        assert frame.pts == other.pts
        np.testing.assert_array_equal(frame.pixels, other.pixels)


def test_a_range_counts_from_the_first_frame_not_from_zero(make_video):
    path = make_video("source.mkv", frames=10, pts=[12800 + 512 * n for n in range(10)])
    part = read(path, start=Fraction(1, 5))
    assert [frame.seconds for frame in part] == [1 + Fraction(n, 25) for n in range(5, 10)]


def test_float_seconds_are_meant_as_decimals():
    assert exact_seconds(0.1) == Fraction(1, 10)
    assert exact_seconds(2) == 2
    assert exact_seconds(Fraction(1, 3)) == Fraction(1, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 0.48}, "is past the end"),
        ({"start": 100}, "start 100 s is past the end of .*which is 0.480 s long"),
        ({"start": -1}, "must be 0 s or later"),
        ({"duration": 0}, "must be more than 0 s"),
    ],
)
def test_a_range_outside_the_video_is_an_input_error(make_video, options, message):
    with pytest.raises(InputError, match=message):
        VideoReader(make_video(), **options)


def test_a_range_between_two_frames_is_an_input_error(make_video):
    with pytest.raises(InputError, match=r"has no frame from 0\.01 s on for 0\.02 s"):
        read(make_video(), start=0.01, duration=0.02)


def test_an_undamaged_file_has_no_damage(make_video):
    for name in ("source.mp4", "source.mkv"):
        with VideoReader(make_video(name, audio=["ac3"], frames=30)) as reader:
            assert len(list(reader)) == 30
            assert reader.damage is None
            reader.check_damage()


def test_a_slow_slide_show_is_not_taken_for_damage(make_video):
    path = make_video("source.mkv", frames=4, pts=[0, 12800, 38400, 64000])
    with VideoReader(path) as reader:
        assert len(list(reader)) == 4
        assert reader.damage is None


@pytest.mark.parametrize(
    ("name", "options"), [("source.mkv", {}), ("source.mp4", {"movflags": "faststart"})]
)
def test_of_a_truncated_file_comes_what_decodes_and_the_loss_is_told(make_video, name, options):
    path = make_video(name, frames=60, container_options=options, options={"g": "10", "qp": "2"})
    whole = read(path)
    reader = VideoReader(cut_off(path, 0.6))
    frames = list(reader)
    assert 20 < len(frames) < 50
    for frame, other in zip(frames[:20], whole, strict=False):
        np.testing.assert_array_equal(frame.pixels, other.pixels)
    assert reader.damage is not None
    with pytest.raises(InputError, match="is damaged"):
        reader.check_damage()


def test_a_tolerant_reader_makes_no_error_of_damage_but_a_line_in_the_log(make_video, caplog):
    path = make_video("source.mkv", frames=60, options={"qp": "2"})
    with VideoReader(cut_off(path, 0.6), tolerant=True) as reader:
        with caplog.at_level(logging.WARNING):
            list(reader)
        assert "is damaged" in caplog.text
        assert reader.damage is not None
        reader.check_damage()


def test_a_file_with_broken_frames_in_the_middle_is_damaged(make_video):
    path = make_video("source.mkv", frames=40, options={"g": "5", "qmax": "2"}, **MPEG2)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20] = bytes(20)
    path.write_bytes(bytes(content))
    with VideoReader(path) as reader:
        frames = list(reader)
        assert len(frames) == 40
        assert reader.damage is not None


def test_an_mp4_without_its_index_is_an_input_error(make_video):
    with pytest.raises(InputError, match="is not a video that can be read, or it is damaged"):
        VideoReader(cut_off(make_video(frames=40), 0.5))


def test_frames_without_times_get_one_and_the_log_says_so(make_video, caplog):
    path = make_video("source.h264", frames=8, container_options={}, options={"bf": "0"})
    with caplog.at_level(logging.WARNING):
        frames = read(path)
    times = [frame.pts for frame in frames]
    assert len(frames) == 8
    assert len({later - earlier for earlier, later in pairwise(times)}) == 1
    assert times[1] > times[0]


@pytest.mark.parametrize("deinterlace", ["off", "on"])
def test_after_a_change_of_size_in_mid_stream_frames_are_scaled_to_the_first_ones_size(
    make_video, caplog, deinterlace
):
    small = make_video("small.ts", frames=5, options={}, **MPEG2)
    large = make_video(
        "large.ts", frames=5, options={}, height=96, width=128, pts=range(5, 10), **MPEG2
    )
    small.write_bytes(small.read_bytes() + large.read_bytes())
    frames = read(small, deinterlace=deinterlace)
    assert len(frames) >= 9  # the last of the first part ends with the packet that is not there
    assert {frame.pixels.shape for frame in frames} == {(48, 64, 3)}
    assert "has 128x96 pixels from 0." in caplog.text
    wanted = next(pictures(1, 96, 128)).reshape(48, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(frames[-5].pixels - wanted).mean() < 4


def write_images(folder, names, size=(6, 8)):
    for level, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((*size, 3), level, np.uint8))


def test_images_come_in_natural_order_with_the_colors_of_their_files(tmp_path):
    write_images(tmp_path, ["2.png", "10.png", "1.png"])
    red = np.zeros((6, 8, 3), np.uint8)
    red[..., 2] = 255
    cv2.imwrite(str(tmp_path / "0.png"), red)
    frames = read(tmp_path)
    assert [int(frame.pixels[0, 0, 1]) for frame in frames] == [0, 2, 0, 1]
    assert tuple(frames[0].pixels[0, 0]) == (255, 0, 0)
    assert [frame.seconds for frame in frames] == [Fraction(n, 25) for n in range(4)]


def test_a_range_of_images_starts_where_it_should(tmp_path):
    write_images(tmp_path, [f"{n}.png" for n in range(10)])
    frames = read(tmp_path, start=0.12, duration=0.08)
    assert [int(frame.pixels[0, 0, 0]) for frame in frames] == [3, 4]
    assert [frame.pts for frame in frames] == [3, 4]


def test_images_of_different_sizes_are_an_input_error(tmp_path):
    write_images(tmp_path, ["0.png"])
    write_images(tmp_path, ["1.png"], size=(4, 4))
    with pytest.raises(InputError, match=r"1\.png has 4x4 pixels of 8 bits but 0\.png has 8x6 p"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("codec", "pix_fmt"), [("libx264", "yuv420p10le"), ("ffv1", "gbrp12le"), ("ffv1", "gray16le")]
)
def test_frames_deeper_than_eight_bits_have_sixteen(make_video, codec, pix_fmt):
    ramp = np.linspace(20000, 26000, 64).astype(np.uint16)
    path = make_video(
        "s.mkv",
        pixels=[ramp[None, :, None].repeat(48, 0).repeat(3, 2)],
        frames=1,
        codec=codec,
        pix_fmt=pix_fmt,
        options={},
    )
    [frame] = read(path)
    assert frame.pixels.dtype == np.uint16
    assert len(np.unique(frame.pixels[24, :, 1])) > 50, "8 bits hold 24 levels of this ramp"


def test_images_of_sixteen_bits_stay_so_and_must_all_be_so(tmp_path):
    picture = np.random.default_rng(0).integers(0, 65536, (6, 8, 3), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "0.png"), picture[..., ::-1])
    [frame] = read(tmp_path)
    np.testing.assert_array_equal(frame.pixels, picture)
    write_images(tmp_path, ["1.png"])
    with pytest.raises(InputError, match=r"1\.png has 8x6 pixels of 8 bits but 0\.png has 8x6 p"):
        read(tmp_path)


def test_a_plain_video_logs_nothing(make_video, caplog):
    read(make_video(audio=["aac"]))
    assert caplog.text == ""


def test_a_single_picture_is_a_video_of_one_frame(tmp_path):
    write_images(tmp_path, ["photo.png"])
    frames = read(tmp_path / "photo.png")
    assert [frame.pixels.shape for frame in frames] == [(6, 8, 3)]


def test_a_colon_in_a_relative_name_is_no_protocol(make_video, monkeypatch):
    path = make_video("take:2.mp4")
    monkeypatch.chdir(path.parent)
    assert len(read("take:2.mp4")) == 12
