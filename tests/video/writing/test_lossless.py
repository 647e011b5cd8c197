"""Sound that fits into no file type is kept, sample for sample, as FLAC."""

import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.conftest import pictures
from tests.video.writing.test_output_file import enlarge
from vsr.errors import OutputError
from vsr.video.probe import probe
from vsr.video.writing.lossless import lossless_track
from vsr.video.writing.stream_fates import stream_fates


@pytest.fixture
def home_video(tmp_path: Path) -> Path:
    """A second of Windows Media with a tone."""
    path = tmp_path / "home.wmv"
    with av.open(path, "w", format="asf") as container:
        video = container.add_stream("wmv2", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("wmav2", rate=44100, layout="mono", bit_rate=64000)
        for number, picture in enumerate(pictures(25)):
            frame = av.VideoFrame.from_ndarray(picture).reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        tone = np.sin(np.arange(44100, dtype=np.float32) / 16)[None] / 2
        sound = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        sound.sample_rate, sound.pts = 44100, 0
        container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
    return path


def samples(path: Path) -> tuple[np.ndarray, Fraction]:
    """The decoded sound in [-1, 1], and when it begins."""
    with av.open(path) as container:
        frames = list(container.decode(audio=0))
    sound = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    scale = 1 if sound.dtype == np.float32 else 2**31
    return sound.astype(np.float64) / scale, frames[0].pts * frames[0].time_base


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4"])
def test_sound_that_nothing_holds_keeps_its_samples_and_its_time(
    home_video, tmp_path, caplog, name
):
    enlarge(home_video, tmp_path / name)
    (before, begin), (after, shown) = samples(home_video), samples(tmp_path / name)
    assert after.shape == before.shape
    assert np.abs(after - before).max() <= 2**-23
    assert abs(shown - begin) <= Fraction(2, 1000), "rounded to 1 ms by both containers"
    assert "(wmav2) can be copied into nothing: its sound is kept as FLAC" in caplog.text


def test_a_gap_in_the_sound_becomes_silence(tmp_path):
    path = tmp_path / "gap.mkv"
    with av.open(path, "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for pts in (0, 1000, 9000):
            tone = np.full((1, 1000), 8000, np.int16)
            frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 8000, pts, Fraction(1, 8000)
            container.mux(stream.encode(frame))
    with av.open(path) as source, av.open(tmp_path / "flac.mkv", "w") as output:
        track = lossless_track(output, path, source.streams.audio[0], "flac")
        for packet in source.demux(audio=0):
            for encoded in track.packets(packet if packet.size else None):
                output.mux(encoded)
    sound, _ = samples(tmp_path / "flac.mkv")
    wanted = np.repeat([8000, 0, 8000], [2000, 7000, 1000])
    np.testing.assert_array_equal(sound[0] * 2**31, wanted)


def test_an_hour_of_silence_is_written_in_pieces(tmp_path):
    """In one array it would be 58 MB of these samples, and gigabytes of better ones."""
    path = tmp_path / "long.mkv"
    with av.open(path, "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for pts in (0, 8000 * 3600):
            frame = av.AudioFrame.from_ndarray(np.full((1, 1000), 99, np.int16), layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 8000, pts, Fraction(1, 8000)
            container.mux(stream.encode(frame))
    tracemalloc.start()
    with av.open(path) as source, av.open(tmp_path / "flac.mkv", "w") as output:
        track = lossless_track(output, path, source.streams.audio[0], "flac")
        for packet in source.demux(audio=0):
            for encoded in track.packets(packet if packet.size else None):
                output.mux(encoded)
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()
    with av.open(tmp_path / "flac.mkv") as container:
        assert container.duration == pytest.approx(3600 * av.time_base, rel=1e-3)


def test_it_is_no_stream_that_is_left_out_but_where_flac_does_not_go(home_video):
    [fate] = stream_fates(probe(home_video), Path("out.mkv"))
    assert fate.is_kept
    with pytest.raises(OutputError, match=r"\.webm cannot hold audio stream 1 \(wmav2\)"):
        stream_fates(probe(home_video), Path("out.webm"))
