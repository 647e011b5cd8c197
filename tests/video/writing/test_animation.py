"""Animations keep their delays, the last one too, and how often they are played."""

import logging
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.conftest import pictures
from tests.video.writing.outputs import enlarge
from tests.video.writing.test_output_place import broken_off, leftovers
from vsr.video.probe import probe
from vsr.video.reading.reader import VideoReader
from vsr.video.writing.animation import play_count
from vsr.video.writing.encoders import EncoderSettings
from vsr.video.writing.output_file import write_video

DELAYS = (4, 9, 3, 20)
"""In hundredths of a second."""


def animation(path: Path, *, plays: int, delays: tuple[int, ...] = DELAYS) -> Path:
    """Four moving pictures, written by FFmpeg's own encoders."""
    is_gif = path.suffix == ".gif"
    options = {"final_delay": str(delays[-1])} if is_gif else {"final_delay": f"{delays[-1]}/100"}
    options |= (
        {"loop": str({0: 0, 1: -1}.get(plays, plays - 1))} if is_gif else {"plays": str(plays)}
    )
    name = "gif" if is_gif else "apng"
    with av.open(path, "w", format=name, container_options=options) as container:
        stream = container.add_stream(name, rate=25)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "rgb8" if is_gif else "rgb24"
        stream.codec_context.time_base = Fraction(1, 100)
        for number, picture in enumerate(pictures(4)):
            frame = av.VideoFrame.from_ndarray(picture).reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = sum(delays[:number]), Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def delays(path: Path) -> list[Fraction]:
    with av.open(path) as container:
        return [frame.duration * frame.time_base for frame in container.decode(video=0)]


@pytest.mark.parametrize("plays", [0, 1, 5])
@pytest.mark.parametrize("name", ["in.gif", "in.apng"])
@pytest.mark.parametrize("output", ["out.gif", "out.apng", "out.png"])
def test_every_delay_and_the_number_of_plays_are_kept(tmp_path, name, output, plays):
    source = animation(tmp_path / name, plays=plays)
    enlarge(source, tmp_path / output)
    assert delays(source) == [Fraction(delay, 100) for delay in DELAYS]
    assert delays(tmp_path / output) == delays(source)
    assert play_count(tmp_path / output) == play_count(source) == plays
    assert leftovers(tmp_path) == []


def test_an_apng_is_exact_and_a_gif_has_the_colours_of_its_pictures(tmp_path):
    source = animation(tmp_path / "in.apng", plays=0)
    for name, tolerance in (("out.apng", 0), ("out.gif", 4)):
        enlarge(source, tmp_path / name)
        with VideoReader(source) as before, VideoReader(tmp_path / name) as after:
            for a, b in zip(before, after, strict=True):
                difference = np.abs(a.pixels.repeat(2, 0).repeat(2, 1).astype(int) - b.pixels)
                assert difference.mean() <= tolerance


def test_sixteen_bits_stay_so_in_an_apng(make_video, tmp_path):
    ramp = np.linspace(20000, 26000, 64).astype(np.uint16)[None, :, None]
    picture = ramp.repeat(48, 0).repeat(3, 2)
    source = make_video(
        "s.mkv", pixels=[picture], frames=1, codec="ffv1", pix_fmt="gbrp16le", options={}
    )
    enlarge(source, tmp_path / "out.apng")
    with VideoReader(tmp_path / "out.apng") as reader:
        np.testing.assert_array_equal(next(reader).pixels[::2, ::2], picture)


def test_what_an_animation_cannot_hold_of_a_film_is_logged(make_video, tmp_path, caplog):
    source = make_video(frames=5, audio=["aac"], rate=30, time_base=Fraction(1, 15360))
    with caplog.at_level(logging.INFO):
        times = enlarge(source, tmp_path / "out.gif")
    assert ".gif holds pictures only: these streams of" in caplog.text
    assert "audio aac" in caplog.text
    assert ".gif keeps times to 0.01 s only" in caplog.text
    with VideoReader(tmp_path / "out.gif") as reader:
        shown = [frame.seconds for frame in reader]
    assert all(abs(a - b) <= Fraction(1, 200) for a, b in zip(shown, times, strict=True))
    assert play_count(tmp_path / "out.gif") == 0


def test_times_that_fall_together_are_kept_apart(make_video, tmp_path):
    source = make_video(frames=6, rate=240, time_base=Fraction(1, 24000))
    enlarge(source, tmp_path / "out.gif")
    assert len(delays(tmp_path / "out.gif")) == 6


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("name", ["out", "out.apng"])
def test_pictures_are_upright_since_they_have_no_tag_for_a_rotation(
    make_video, tmp_path, name, rotation
):
    source = make_video(frames=2, rotation=rotation)
    assert probe(source).rotation % 360 == rotation
    enlarge(source, tmp_path / name)
    with VideoReader(source) as before, VideoReader(tmp_path / name) as after:
        assert after.info.rotation == 0
        turned = np.rot90(next(before).pixels, rotation // 90)
        np.testing.assert_array_equal(next(after).pixels[::2, ::2], turned)


def test_an_animation_broken_off_leaves_nothing(make_video, tmp_path):
    info = probe(make_video(frames=2))
    output, settings = tmp_path / "o.gif", EncoderSettings()
    with pytest.raises(KeyboardInterrupt):
        write_video(broken_off(), output, source=info, size=(64, 48), settings=settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.mp4"]


def test_of_a_transparent_animation_the_loss_is_said_and_of_an_opaque_one_nothing(tmp_path, caplog):
    with VideoReader(animation(tmp_path / "in.gif", plays=0)) as reader:
        list(reader)
    assert "alpha" not in caplog.text
    with av.open(tmp_path / "t.apng", "w", format="apng") as container:
        stream = container.add_stream("apng", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgba"
        clear = np.zeros((48, 64, 4), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(clear, format="rgba")))
        container.mux(stream.encode(None))
    with VideoReader(tmp_path / "t.apng") as reader:
        list(reader)
    assert "has an alpha channel, which is left out" in caplog.text


MEMORY = """
import sys
from pathlib import Path
import numpy as np
from vsr.runtime.memory import peak_resident_bytes
from vsr.video.probe import probe
from vsr.video.writing.encoders import EncoderSettings
from vsr.video.writing.output_file import write_video

source, output, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
wide = np.random.default_rng(0).integers(0, 8, (240, 320 + count, 3), np.uint8) * 32
frames = ((wide[:, n : n + 320], 512 * n) for n in range(count))
write_video(
    frames,
    output,
    source=probe(source),
    size=(320, 240),
    settings=EncoderSettings(),
    overwrite=True,
)
print(peak_resident_bytes() // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_pictures_of_a_gif(make_video, tmp_path):
    """Pictures that wait for the palette take twice their own size: 124 MB instead of 13."""
    source, name = make_video(frames=1), "out.gif"
    kilobytes = [
        int(
            subprocess.run(
                [sys.executable, "-c", MEMORY, str(source), str(tmp_path / name), str(count)],
                cwd=Path(__file__).parents[3],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for count in (240, 480)  # parts of 240 frames are in memory in any case
    ]
    frames_kilobytes = 240 * 320 * 240 * 3 / 1024
    assert kilobytes[1] - kilobytes[0] < 0.5 * frames_kilobytes
