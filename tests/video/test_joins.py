import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.conftest import add_audio, encode_audio, pictures
from vsr.video.container import demuxed, open_video
from vsr.video.joins import joins_of
from vsr.video.probe import probe
from vsr.video.reading.reader import VideoReader
from vsr.video.reading.transport import others_jump
from vsr.video.writing.packet_order import clock_notes


def part(path: Path, *, begin: float = 0, seconds: float = 0.8) -> bytes:
    """A recording whose clock begins at `begin` s, with sound."""
    with av.open(path, "w", options={"output_ts_offset": str(begin)}) as container:
        stream = container.add_stream("mpeg2video", rate=25, options={"g": "12"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        sound = add_audio(container, "mp2")
        for picture in pictures(round(25 * seconds)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        encode_audio(container, sound, seconds)
    return path.read_bytes()


def joined(tmp_path: Path, suffix: str, begin: float) -> Path:
    content = part(tmp_path / f"a{suffix}") + part(tmp_path / f"b{suffix}", begin=begin)
    path = tmp_path / f"joined{suffix}"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("suffix", "begin"), [(".ts", 0), (".ts", 3600), (".vob", 0), (".vob", 3600)]
)
def test_joined_recordings_are_one_film_in_equal_steps(
    suffix: str, begin: float, tmp_path: Path, caplog
):
    path = joined(tmp_path, suffix, begin)
    with VideoReader(path) as reader:
        times = [frame.seconds for frame in reader]
        assert reader.damage is None
    assert len(times) == 40
    assert set(np.diff(times)) == {Fraction(1, 25)}
    assert "its clock jumps at" in caplog.text


def test_the_length_of_a_joined_film_is_that_of_its_frames(tmp_path: Path):
    info = probe(joined(tmp_path, ".ts", 3600))
    assert info.frame_count == 40
    assert info.duration is not None
    assert abs(info.duration - Fraction(40, 25)) <= Fraction(1, 25)


def test_a_film_that_is_joined_is_read_from_its_middle_too(tmp_path: Path):
    with VideoReader(joined(tmp_path, ".ts", 0), start=1) as reader:
        assert len(list(reader)) == 15


def test_a_plain_recording_has_no_jumps_and_all_its_packets_are_counted(tmp_path: Path):
    path = tmp_path / "plain.ts"
    path.write_bytes(part(tmp_path / "a.ts"))
    with open_video(path) as (container, stream):
        joins = joins_of(path, container, stream.index)
        assert not joins
        assert joins.packets[stream.index] == 20


def test_a_stream_that_begins_late_is_found_when_the_file_is_opened(tmp_path: Path):
    path = tmp_path / "late.ts"
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg2video", rate=25, options={"b": "4M"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        sound = add_audio(container, "mp2")
        noise = np.random.default_rng(0)
        for _ in range(25 * 12):
            picture = noise.integers(0, 255, (240, 320, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 11 * 48000, Fraction(1, 48000)
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    with open_video(path) as (container, _):
        rates = [stream.rate for stream in container.streams.audio]
        assert rates == [48000]
        assert sum(packet.size > 0 for packet in demuxed(container, container.streams.audio))


def test_a_lost_transport_packet_is_damage_beside_a_keyframe_too(tmp_path: Path):
    """Without one packet a frame is lost or incomplete; keyframes are 12 frames apart."""
    content = part(tmp_path / "a.ts", seconds=2)
    packets = [content[i : i + 188] for i in range(0, len(content), 188)]
    pictures = [n for n, packet in enumerate(packets) if packet[1:3] in (b"\x41\0", b"\1\0")]
    begins = [n for n in pictures if packets[n][1] & 0x40]
    assert len(begins) == 50
    lost = tmp_path / "lost.ts"
    # FFmpeg marks nothing where one of the first two frames or the last one is lost.
    for number in (n for n in pictures if begins[2] <= n < begins[49]):
        lost.write_bytes(b"".join(packets[:number] + packets[number + 1 :]))
        with VideoReader(lost, tolerant=True) as reader:
            assert len(list(reader)) in (49, 50)
            assert reader.damage == "corrupt frames: 1"


X265 = {"x265-params": "log-level=none:keyint=12:min-keyint=12:scenecut=0:bframes=2", "crf": "20"}
X264 = {"g": "12", "bf": "2", "sc_threshold": "0", "preset": "veryfast", "crf": "20"}


@pytest.mark.parametrize(("codec", "options"), [("libx264", X264), ("libx265", X265)])
def test_a_part_lost_beside_a_keyframe_is_damage_though_the_decoder_hides_it(
    tmp_path: Path, codec: str, options: dict[str, str]
):
    path = tmp_path / "source.ts"
    noise = np.random.default_rng(0)
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 160, 112, "yuv420p"
        for _ in range(30):
            picture = noise.integers(0, 255, (112, 160, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    content = path.read_bytes()
    with av.open(path) as container:
        places = [(p.pos, p.is_keyframe) for p in container.demux(video=0) if p.size]
    keyframe = next(n for n, (_, is_key) in enumerate(places) if is_key and n)
    for number in range(keyframe - 2, keyframe + 1):
        begin = places[number][0]
        lost = begin + (places[number + 1][0] - begin) // 188 // 2 * 188
        path.write_bytes(content[:lost] + content[lost + 188 :])
        with VideoReader(path, tolerant=True) as reader:
            list(reader)
            assert reader.damage == "corrupt frames: 1"


def test_counters_of_other_streams_jump_at_a_join_alone(tmp_path: Path):
    one = part(tmp_path / "a.ts")
    path = tmp_path / "joined.ts"
    path.write_bytes(one + one)
    with open_video(path) as (_, stream):
        pid = stream.id
    assert others_jump(path, len(one) - 2000, len(one) + 2000, stream=pid)
    path.write_bytes(one)
    assert not others_jump(path, len(one) // 2, len(one) // 2 + 2000, stream=pid)
    blu_ray = b"".join(bytes(4) + one[i : i + 188] for i in range(0, len(one), 188))
    path.write_bytes(2 * blu_ray)
    assert others_jump(path, len(blu_ray) - 2000, len(blu_ray) + 2000, stream=pid)


def test_late_packets_of_sound_are_told_before_the_film_is_made(tmp_path: Path):
    source = probe(joined(tmp_path, ".ts", 0.77))
    (line,) = clock_notes(source)
    assert line.startswith("stream 1: the times of 2 packets go back: they are moved by up to 0.0")
    assert list(clock_notes(probe(joined(tmp_path, ".ts", 0.81)))) == []
    (jump,) = clock_notes(probe(joined(tmp_path, ".ts", 3600)))
    assert jump.startswith("its clock jumps at ")


def test_a_pause_of_the_picture_alone_is_kept_and_counts_no_frames(tmp_path: Path, caplog):
    path = tmp_path / "pause.ts"
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        sound = add_audio(container, "mp2")
        for number, picture in enumerate(pictures(20)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            for packet in stream.encode(frame):
                late = round(20 / packet.time_base) if number > 10 else 0
                packet.pts, packet.dts = packet.pts + late, packet.dts + late
                container.mux(packet)
        encode_audio(container, sound, 21)
    with caplog.at_level(logging.INFO), VideoReader(path) as reader:
        assert reader.info.frame_count is not None
        assert reader.info.frame_count <= 20
        steps = np.diff([float(frame.seconds) for frame in reader])
    assert steps.max() > 20
    assert "no picture comes for 20.0" in caplog.text
