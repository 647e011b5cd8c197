"""Sound of any codec in any container: a film is refused before any work, or it is made."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec import Codec, codecs_available

from tests.video.conftest import pictures
from tests.video.writing.test_output_file import enlarge
from vsr.errors import OutputError
from vsr.video.probe import VideoInfo, probe
from vsr.video.writing.encoders import EncoderSettings
from vsr.video.writing.output_file import check_output
from vsr.video.writing.stream_fates import stream_fates

SOURCES = {
    ".avi": ("avi", "mpeg4"),
    ".mov": ("mov", "mpeg4"),
    ".mp4": ("mp4", "mpeg4"),
    ".mkv": ("matroska", "mpeg4"),
    ".nut": ("nut", "mpeg4"),
    ".wmv": ("asf", "wmv2"),
    ".ts": ("mpegts", "mpeg2video"),
    ".flv": ("flv", "flv"),
    ".mpg": ("vob", "mpeg2video"),
    ".mxf": ("mxf", "mpeg2video"),
    ".webm": ("webm", "libvpx"),
}
"""Muxer and video codec by ending."""
OUTPUTS = (".mp4", ".mkv", ".mov", ".webm")
FORMS = ((48000, "stereo"), (44100, "mono"), (22050, "mono"), (16000, "mono"), (8000, "mono"))
NO_SOUND = ("anull",)


def sound_encoders() -> list[str]:
    """FFmpeg's encoders of sound."""
    found: list[str] = []
    for name in sorted(codecs_available):
        try:
            codec = Codec(name, "w")
        except ValueError:
            continue
        if codec.type == "audio" and name not in NO_SOUND:
            found.append(name)
    return found


def make_pair(path: Path, codec: str) -> bool:
    """Write eight pictures and a tone by `codec`; false where FFmpeg cannot."""
    for rate, layout in FORMS:
        try:
            _write_pair(path, codec, rate, layout)
            with av.open(path) as container:
                return bool(container.streams.audio)
        except (av.FFmpegError, ValueError, TypeError):
            continue
    return False


def _write_pair(path: Path, codec: str, rate: int, layout: str) -> None:
    muxer, video_codec = SOURCES[path.suffix]
    with av.open(path, "w", format=muxer) as container:
        video = container.add_stream(video_codec, rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream(codec, rate=rate, layout=layout)
        sound.codec_context.options = {"strict": "-2"}
        if codec.startswith("g726"):
            sound.codec_context.bit_rate = 32000
        container.start_encoding()
        for number, picture in enumerate(pictures(8)):
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
        for block in range(rate // 3 // 1024 + 3):
            tone = np.sin(np.arange(block * 1024, (block + 1) * 1024) / 16) * 8000
            samples = tone.astype(np.int16).repeat(2 if layout == "stereo" else 1)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
            frame.sample_rate, frame.pts = rate, block * 1024
            frame.time_base = Fraction(1, rate)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        container.mux(video.encode(None))


def sound_packets(path: Path) -> int:
    with av.open(path) as container:
        if not container.streams.audio:
            return 0
        return sum(packet.size > 0 for packet in container.demux(audio=0))


def is_refused(info: VideoInfo, output: Path, settings: EncoderSettings) -> bool:
    """True if the film is refused before any work, with another file type to write to."""
    try:
        check_output(output, source=info, settings=settings, overwrite=True)
    except OutputError as error:
        assert "write to .mkv" in str(error) or "write to .mov" in str(error)
        return True
    return False


def check_pair(source: Path, output: Path) -> None:
    """Check that the plan is kept: the sound is in the output exactly if it says so."""
    settings = EncoderSettings(preset="12" if output.suffix == ".webm" else "ultrafast")
    info = probe(source)
    if is_refused(info, output, settings):
        return
    [fate] = stream_fates(info, output)
    assert len(enlarge(source, output, settings, overwrite=True)) == 8
    assert bool(sound_packets(output)) == fate.is_kept, fate.reason


@pytest.mark.slow
@pytest.mark.parametrize("codec", sound_encoders())
def test_every_pair_of_codec_and_container_is_refused_up_front_or_made(
    tmp_path: Path, codec: str
) -> None:
    for suffix in SOURCES:
        source = tmp_path / f"source{suffix}"
        if make_pair(source, codec):
            for output in OUTPUTS:
                check_pair(source, tmp_path / f"out{output}")


@pytest.mark.parametrize(
    ("codec", "source", "output"),
    [
        ("adpcm_ms", ".avi", ".mov"),
        ("dfpwm", ".avi", ".mov"),
        ("eac3", ".nut", ".mp4"),
        ("pcm_s16le", ".mkv", ".mp4"),
        ("pcm_f32le", ".avi", ".mp4"),
    ],
)
def test_pairs_that_once_failed_at_the_join_keep_their_sound(
    tmp_path: Path, codec: str, source: str, output: str
) -> None:
    film = tmp_path / f"film{source}"
    if not make_pair(film, codec):
        pytest.skip("this FFmpeg does not write the pair")
    check_pair(film, tmp_path / f"out{output}")
    assert sound_packets(tmp_path / f"out{output}")


@pytest.mark.parametrize("codec", ["g726", "adpcm_ima_wav"])
def test_sound_that_no_decoder_opens_is_left_out_with_a_line_and_the_film_is_made(
    tmp_path: Path, codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its header tells no number of channels."""
    film = tmp_path / "film.nut"
    if not make_pair(film, codec):
        pytest.skip("this FFmpeg does not write the pair")
    check_pair(film, tmp_path / "out.mkv")
    assert "does not decode" in caplog.text


def test_flac_is_refused_by_mov_before_any_work(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    assert make_pair(film, "flac")
    with pytest.raises(OutputError, match=r"\.mov cannot hold audio .*write to \.mkv"):
        check_output(
            tmp_path / "out.mov", source=probe(film), settings=EncoderSettings(), overwrite=False
        )
