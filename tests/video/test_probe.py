from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from vsr.errors import InputError
from vsr.video.probe import describe, probe


def test_size_times_and_tags_are_those_of_the_file(make_video):
    path = make_video(
        frames=10,
        rate=Fraction(30000, 1001),
        time_base=Fraction(1, 30000),
        sample_aspect_ratio=Fraction(16, 15),
        color=(1, 1, 1, 1),
        rotation=90,
        metadata={"title": "A test"},
        audio=["aac"],
    )
    info = probe(path)
    assert (info.width, info.height, info.codec, info.pix_fmt) == (64, 48, "h264", "yuv420p")
    assert info.time_base == Fraction(1, 30000)
    assert info.average_rate == Fraction(30000, 1001)
    assert info.duration == Fraction(10 * 1001, 30000)
    assert info.frame_count == 10
    assert info.start_pts == 0
    assert info.sample_aspect_ratio == Fraction(16, 15)
    assert info.rotation == 90
    assert info.metadata["title"] == "A test"
    assert [stream.kind for stream in info.streams] == ["video", "audio"]
    assert not info.interlaced


def test_matroska_tells_the_duration_of_its_video(make_video):
    info = probe(make_video("source.mkv", frames=10))
    assert info.duration == Fraction(2, 5)
    assert info.frame_count == 10


def test_the_description_names_every_stream_and_tag(make_video):
    info = probe(make_video(audio=["aac", "ac3"], metadata={"title": "A test"}, rotation=180))
    rows = dict(describe(info))
    assert rows["size"] == "64x48"
    assert rows["rotation"] in ("180 degrees", "-180 degrees")
    assert rows["stream 1"].startswith("audio aac 48000 Hz mono")
    assert rows["stream 2"].startswith("audio ac3")
    assert rows["tag title"] == "A test"
    assert "64x48" in str(info)


def test_a_folder_of_images_has_25_frames_a_second(tmp_path):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((6, 8, 3), np.uint8))
    info = probe(tmp_path)
    assert info.is_image_folder
    assert (info.width, info.height, info.frame_count) == (8, 6, 3)
    assert info.average_rate == 25
    assert info.duration == Fraction(3, 25)


def write(path, content: bytes):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"this is no video\n" * 50, "not a video that can be read"),
        ("text.txt", b"this is no video\n" * 50, "is a text file"),
        ("noise.mkv", bytes(range(256)) * 20, "not a video that can be read"),
    ],
)
def test_what_is_no_video_gives_one_clear_line(tmp_path, name, content, message):
    with pytest.raises(InputError, match=message) as caught:
        probe(write(tmp_path / name, content))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.mp4 does not exist"):
        probe(tmp_path / "nowhere.mp4")


def test_a_folder_without_images_is_an_input_error(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(InputError, match="is a folder without images"):
        probe(tmp_path)


def test_a_damaged_picture_is_an_input_error(tmp_path):
    (tmp_path / "0.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"0\.png is not a picture"):
        probe(tmp_path)


def test_sound_alone_is_an_input_error(tmp_path, make_audio):
    with pytest.raises(InputError, match=r"holds no video stream \(found: audio\)"):
        probe(make_audio(tmp_path / "sound.mp4"))


def test_a_video_stream_without_frames_is_an_input_error(tmp_path):
    path = tmp_path / "hollow.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = 64, 48
        container.start_encoding()
    with pytest.raises(InputError, match=r"holds no video stream|no frame of its video"):
        probe(path)


def test_a_video_stream_of_no_size_is_an_input_error(make_video):
    path = make_video("source.mkv", codec="ffv1", pix_fmt="bgr0", options={}, frames=2)
    content = path.read_bytes()
    # Matroska: PixelWidth (0xB0) and PixelHeight (0xBA), one byte each.
    for known, none in ((b"\xb0\x81\x40", b"\xb0\x81\x00"), (b"\xba\x81\x30", b"\xba\x81\x00")):
        assert known in content
        content = content.replace(known, none, 1)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"source\.mkv.*(no frame|not a video)"):
        probe(path)


def test_a_name_that_looks_like_a_pattern_is_read_itself(tmp_path: Path) -> None:
    """FFmpeg takes `seq%02d.png` for all of seq00.png, seq01.png, ..."""
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"seq{number:02d}.png"), np.zeros((16, 16, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "seq%02d.png"), np.zeros((24, 32, 3), np.uint8))
    info = probe(tmp_path / "seq%02d.png")
    assert (info.width, info.height) == (32, 24)
