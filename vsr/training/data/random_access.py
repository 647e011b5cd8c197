"""A few seconds out of the middle of a video, for training: by decord, or by PyAV where asked."""

import importlib
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from vsr.errors import DependencyError, InputError, install_extra
from vsr.video.pixels import as_uint8
from vsr.video.reading.reader import Frame, VideoReader

Access = Literal["decord", "av"]

# decord looks frames up by their place in the container, and in these, which have no index, it
# gives other frames than it was asked for.
_WITHOUT_INDEX = frozenset({".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".vob"})


def read_part(path: Path, *, start: float, seconds: float, access: Access) -> Iterator[Frame]:
    """The frames shown in [start, start + seconds) after the first frame, in their order.

    MPEG transport and program streams are read by PyAV in any case. Raises DependencyError where
    decord is asked for and not installed, InputError for a file that cannot be read.
    """
    if access == "decord" and path.suffix.lower() not in _WITHOUT_INDEX:
        return _by_decord(path, start, seconds)
    return _by_av(path, start, seconds)


def _by_av(path: Path, start: float, seconds: float) -> Iterator[Frame]:
    with VideoReader(path, start=start, duration=seconds) as reader:
        for frame in reader:
            yield replace(frame, pixels=as_uint8(frame.pixels))


def _by_decord(path: Path, start: float, seconds: float) -> Iterator[Frame]:
    decord = _decord()
    try:
        video = decord.VideoReader(str(path), num_threads=1)
        shown = [video.get_frame_timestamp(i)[0] for i in range(len(video))]
        wanted = [i for i, time in enumerate(shown) if start <= time < start + seconds]
        pictures = video.get_batch(wanted).asnumpy() if wanted else ()
    except (decord.DECORDError, RuntimeError) as error:
        raise InputError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    for i, pixels in zip(wanted, pictures, strict=True):
        yield Frame(pixels=pixels, pts=round(shown[i] * 1e6), time_base=Fraction(1, 1_000_000))


def _decord() -> Any:
    try:
        return importlib.import_module("decord")
    except ImportError as error:
        raise DependencyError(
            "training reads videos with decord, which is not installed: "
            f"{install_extra('train')}; or set data.reader=av"
        ) from error
