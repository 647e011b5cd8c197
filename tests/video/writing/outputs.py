"""Outputs of tests: a film at twice its size."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

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


def times_of(path: Path) -> list[Fraction]:
    with VideoReader(path) as reader:
        return [frame.seconds for frame in reader]
