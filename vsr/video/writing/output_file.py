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
from vsr.video.icc import with_profile
from vsr.video.images import decode_image, encode_png, upright
from vsr.video.pixels import Pixels
from vsr.video.probe import VideoInfo
from vsr.video.writing.animation import AnimationFile
from vsr.video.writing.encoders import ENCODERS, PNG, EncoderSettings, check_codec
from vsr.video.writing.encoding import Encoding
from vsr.video.writing.muxer import Muxer
from vsr.video.writing.parts import Part, encoded_parts
from vsr.video.writing.stream_fates import check_audio
from vsr.video.writing.time_range import WHOLE, TimeRange

_log = logging.getLogger(__name__)

REPLACED = "replaced"


def check_output(
    path: Path, *, source: VideoInfo, settings: EncoderSettings, overwrite: bool
) -> None:
    """Raise OutputError, before any work, if `path` could not be written.

    Reasons: the file type does not hold the codec or the audio, the output exists or is the source,
    or its folder is missing or not writable.
    """
    codec = check_codec(path, settings)
    folder = path.parent
    if path.exists():
        if path.samefile(source.path):
            raise OutputError(f"{path} is the source itself; give the output another name")
        if not overwrite:
            raise OutputError(f"{path} exists; choose another name, or replace it with --overwrite")
        _check_replaceable(path, is_folder=codec == PNG)
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


class OutputFile:
    """The output being joined from its parts, with all that the source holds beside its video.

    A context manager. While parts are added the output is called `.NAME.partial.EXT`; it gets its
    name when the context ends well, and is removed when it ends with an exception. A PNG folder
    holds pictures only, which the log says.
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
    ) -> None:
        """Open the output for parts encoded by `encoding` (None: as PNG); `delay` as Muxer's.

        An animation has PNG parts too; the ending of `path` tells it from a folder.

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
        _remove(self._partial)
        try:
            self._sink: Muxer | _PngFolder | AnimationFile
            if encoding is not None:
                self._sink = Muxer(
                    self._partial, source=source, encoding=encoding, span=span, delay=delay
                )
            elif path.suffix:
                codec = EncoderSettings().codec_for(path)
                self._sink = AnimationFile(self._partial, source=source, codec=codec)
            else:
                self._sink = _PngFolder(self._partial, source)
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
                    _check_replaceable(self.path, is_folder=self._partial.is_dir())
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
    with OutputFile(
        path, source=source, encoding=encoding, span=span, overwrite=overwrite
    ) as output:
        for part in encoded_parts(frames, encoding):
            output.add(part)
    return output.frame_count


def encoding_of(
    path: Path, source: VideoInfo, size: tuple[int, int], settings: EncoderSettings
) -> Encoding | None:
    """The encoding of the output at `path`, of a size (width, height).

    None for PNG pictures, which make a folder or an animation.
    """
    codec = settings.codec_for(path)
    return Encoding.of(source, codec, size, settings) if codec in ENCODERS else None


class _PngFolder:
    """A folder of numbered pictures, upright: they have no tag for a rotation."""

    def __init__(self, folder: Path, source: VideoInfo) -> None:
        self._folder = folder
        self._count = 0
        self._rotation = source.rotation
        self._profile = source.color_profile
        try:
            folder.mkdir()
        except OSError as error:
            raise OutputError(f"{folder} cannot be made: {error.strerror or error}") from error
        if not source.is_image_folder:
            _log.warning(
                "a folder of pictures holds no times, tags or sound: those of %s are left out",
                source.path,
            )

    def add(self, part: Part) -> None:
        """Write the next pictures; their numbers tell the order, their times are not kept."""
        for frame in part.frames:
            path = self._folder / f"{self._count:08d}.png"
            try:
                path.write_bytes(self._finished(frame.data))
            except OSError as error:
                raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
            self._count += 1

    def _finished(self, content: bytes) -> bytes:
        content = _upright_png(content, self._rotation)
        return content if self._profile is None else with_profile(content, self._profile)

    def finish(self) -> None:
        """Do nothing: every picture is complete."""

    def abort(self) -> None:
        """Do nothing: the folder is removed as a whole."""


def _upright_png(content: bytes, rotation: int) -> bytes:
    return encode_png(upright(decode_image(content), rotation)) if rotation else content


def _check_replaceable(path: Path, *, is_folder: bool) -> None:
    if path.is_dir() != is_folder:
        raise OutputError(
            f"{path} is a {'folder' if path.is_dir() else 'file'}, which a "
            f"{'folder' if is_folder else 'file'} cannot replace; choose another name"
        )
    if is_folder and any(entry.suffix.lower() != ".png" for entry in path.iterdir()):
        raise OutputError(f"{path} holds more than PNG files and is not replaced; remove it first")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
