"""Writing the output, which gets its name only once it is complete."""

import logging
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from vsr.errors import OutputError
from vsr.runtime.files import flush, put_in_place, put_new_in_place
from vsr.video.container import open_video
from vsr.video.pixels import Pixels
from vsr.video.probe import VideoInfo
from vsr.video.suffixes import ending
from vsr.video.writing.animation import AnimationFile
from vsr.video.writing.encoders import (
    ENCODERS,
    PICTURES,
    PNG,
    EncoderSettings,
    check_codec,
    picture_codec,
)
from vsr.video.writing.encoding import Encoding
from vsr.video.writing.muxer import Muxer
from vsr.video.writing.parts import Part, encoded_parts
from vsr.video.writing.pictures import PictureFile, PictureFolder, note_picture_losses
from vsr.video.writing.stream_fates import check_audio
from vsr.video.writing.time_range import WHOLE, TimeRange

_log = logging.getLogger(__name__)

REPLACED = "replaced"


def check_output(
    path: Path,
    *,
    source: VideoInfo,
    settings: EncoderSettings,
    overwrite: bool,
    makes_folder: bool = False,
) -> None:
    """Raise OutputError, before any work, if `path` could not be written.

    Reasons: the file type does not hold the codec or the audio, the output exists or is the source,
    or its folder is not writable or, unless `makes_folder`, missing.
    """
    codec = check_codec(path, settings)
    folder = existing_folder(path.parent) if makes_folder else path.parent
    if codec in PICTURES and ending(path) and not source.is_picture:
        raise OutputError(
            f"{path} holds one picture, and {source.path} more: give a folder, with --codec {codec}"
        )
    if path.exists():
        if path.samefile(source.path):
            raise OutputError(f"{path} is the source itself; give the output another name")
        if not overwrite:
            raise OutputError(f"{path} exists; choose another name, or replace it with --overwrite")
        _check_replaceable(path, codec)
        if path.resolve() in source.path.resolve().parents:
            raise OutputError(f"{path} holds the source, and is not replaced; name another output")
    if not folder.is_dir():
        raise OutputError(f"the folder {folder} of the output does not exist; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {folder} is not writable; choose another one")
    if codec in ENCODERS and not source.is_image_folder:
        with open_video(source.path, playlists=source.is_playlist) as (container, _):
            check_audio(source, container, path)


class PlaceTakenError(OutputError):
    """Another file has the output's name: the finished output stays under its temporary one."""


def existing_folder(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


class OutputFile:
    """The output being joined from its parts, with all that the source holds beside its video.

    A context manager. While parts are added the output is called `.NAME.partial.EXT`; it gets its
    name when the context ends well, and is removed when it ends with an exception. A folder of
    pictures holds nothing else, which the log says.
    """

    def __init__(
        self,
        path: Path,
        *,
        source: VideoInfo,
        encoding: Encoding | None,
        span: TimeRange,
        delay: int | None = None,
        partial: Path | None = None,
        note_whole: Callable[[Path], None] | None = None,
        overwrite: bool = True,
        codec: str | None = None,
    ) -> None:
        """Open the output for parts encoded by `encoding` (None: as PNG); `delay` as Muxer's.

        Pictures and animations have PNG parts; the ending of `path` tells them apart, and `codec`
        is that of the pictures of a folder (default: PNG).

        `partial` replaces the temporary name, on the same disk; a folder that is replaced lies
        beside it, as `REPLACED`, until it is removed. `note_whole` is called with the
        complete file before it gets its final name. Without `overwrite`, a file that has appeared
        at `path` in the meantime is kept, the complete file stays under its temporary name, and
        PlaceTakenError is raised.
        """
        self.path = path
        self.frame_count = 0
        self._partial = partial or path.with_name(f".{path.stem}.partial{path.suffix}")
        self._aside = None if partial is None else partial.with_name(REPLACED)
        self._note_whole = note_whole
        self._overwrite = overwrite
        self._codec = codec or PNG
        _remove(self._partial)
        try:
            self._sink: Muxer | PictureFolder | PictureFile | AnimationFile
            if encoding is not None:
                self._sink = Muxer(
                    self._partial, source=source, encoding=encoding, span=span, delay=delay
                )
            elif not ending(path):
                self._sink = PictureFolder(self._partial, source, codec or PNG)
            elif source.is_picture:
                self._sink = PictureFile(self._partial, source, picture_codec(path) or PNG)
            else:
                codec = EncoderSettings().codec_for(path)
                self._sink = AnimationFile(self._partial, source=source, codec=codec)
        except BaseException:
            _remove(self._partial)
            raise

    def add(self, part: Part) -> None:
        """Copy the next part."""
        self._sink.add(part)
        self.frame_count += len(part.frames)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._discard()
            return
        try:
            if self.frame_count == 0:
                raise OutputError(f"{self.path}: there was no frame to write")
            self._sink.finish()
            self._put_in_place()
        except PlaceTakenError:
            raise
        except BaseException:
            self._discard()
            raise

    def _put_in_place(self) -> None:
        try:
            flush(self._partial)
            if self._note_whole is not None:
                self._note_whole(self._partial)
            if self._overwrite:
                if self.path.exists():  # a person may have put other files into it meanwhile
                    _check_replaceable(self.path, self._codec)
                put_in_place(self._partial, self.path, aside=self._aside)
            else:
                put_new_in_place(self._partial, self.path)
        except FileExistsError as error:
            raise PlaceTakenError(
                f"{self.path} appeared during the run and is not replaced; the finished film is "
                f"{self._partial}: move it where you want it"
            ) from error
        except OSError as error:
            raise OutputError(
                f"{self.path} cannot be written: {error.strerror or error}"
            ) from error

    def _discard(self) -> None:
        self._sink.abort()
        _remove(self._partial)


def write_video(
    frames: Iterable[tuple[Pixels, int]],
    path: Path,
    *,
    source: VideoInfo,
    size: tuple[int, int],
    settings: EncoderSettings,
    span: TimeRange = WHOLE,
    overwrite: bool = False,
) -> int:
    """Write frames to `path` with all that the source holds beside its video; return their number.

    A frame is RGB `h w 3` of a size (width, height) and its pts in the source's units, ascending.
    """
    check_output(path, source=source, settings=settings, overwrite=overwrite)
    encoding = encoding_of(path, source, size, settings)
    codec = settings.codec_for(path)
    with OutputFile(
        path, source=source, encoding=encoding, span=span, overwrite=overwrite, codec=codec
    ) as output:
        for part in encoded_parts(frames, encoding):
            output.add(part)
    return output.frame_count


def encoding_of(
    path: Path, source: VideoInfo, size: tuple[int, int], settings: EncoderSettings
) -> Encoding | None:
    """The encoding of the output at `path`, of a size (width, height).

    None for PNG pictures, which make a folder, a picture or an animation. The log says what of
    pictures is lost.
    """
    codec = settings.codec_for(path)
    note_picture_losses(source, path, PNG if source.is_picture and codec == "apng" else codec)
    return Encoding.of(source, codec, size, settings) if codec in ENCODERS else None


def _check_replaceable(path: Path, codec: str) -> None:
    is_folder = codec in PICTURES and not ending(path)
    if path.is_dir() != is_folder:
        raise OutputError(
            f"{path} is a {'folder' if path.is_dir() else 'file'}, which a "
            f"{'folder' if is_folder else 'file'} cannot replace; choose another name"
        )
    if is_folder and any(entry.suffix.lower() not in PICTURES[codec] for entry in path.iterdir()):
        raise OutputError(
            f"{path} holds more than {codec.upper()} files and is not replaced; remove it first"
        )


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
