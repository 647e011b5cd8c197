"""Films for tests of outputs: one at twice its size, and one with subtitles."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from vsr.video.reading.reader import VideoReader
from vsr.video.writing.encoders import EncoderSettings
from vsr.video.writing.output_file import write_video
from vsr.video.writing.time_range import source_range

DEFAULT = EncoderSettings()
LOSSLESS = EncoderSettings(lossless=True)


def enlarge(
    source: Path,
    output: Path,
    settings: EncoderSettings = DEFAULT,
    *,
    overwrite: bool = False,
    **range_options,
) -> list[Fraction]:
    """Write the source's frames twice as large; returns their times."""
    times: list[Fraction] = []

    def doubled(reader: VideoReader) -> Iterator[tuple[np.ndarray, int]]:
        for frame in reader:
            yield frame.pixels.repeat(2, 0).repeat(2, 1), frame.pts
            times.append(frame.seconds)

    with VideoReader(source, **range_options) as reader:
        info = reader.info
        write_video(
            doubled(reader),
            output,
            source=info,
            size=(2 * info.width, 2 * info.height),
            settings=settings,
            span=source_range(info, reader.start, reader.duration),
            overwrite=overwrite,
        )
    return times


def at_rate(pictures: Iterable[np.ndarray], first: int = 0) -> Iterator[tuple[np.ndarray, int]]:
    """Pictures with the times of `make_video`, from the place `first` on."""
    for number, picture in enumerate(pictures, first):
        yield picture, 512 * number


def with_subtitles(plain: Path, subtitles: Path, path: Path) -> Path:
    """A film of the pictures of one file and the subtitles of another."""
    with av.open(plain) as film, av.open(subtitles) as lines, av.open(path, "w") as container:
        streams = [film.streams.video[0], lines.streams.subtitles[0]]
        targets = [container.add_stream_from_template(stream, opaque=True) for stream in streams]
        for template, target in zip(streams, targets, strict=True):
            for packet in template.container.demux(template):
                if packet.size:
                    packet.stream = target
                    container.mux(packet)
    return path


def times_of(path: Path) -> list[Fraction]:
    with VideoReader(path) as reader:
        return [frame.seconds for frame in reader]
