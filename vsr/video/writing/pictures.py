"""Pictures as outputs: folders of them and single ones, with the names and marks of the source."""

import logging
import struct
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from vsr.errors import InputError, OutputError, as_output_error
from vsr.video.color import linear_from_srgb
from vsr.video.container import reason_of
from vsr.video.icc import with_profile
from vsr.video.images import decode_image, encode_image, upright
from vsr.video.mark import MARK, marked_exr
from vsr.video.pixels import Pixels, as_uint8, depth_of
from vsr.video.planes import LumaEquations, planes_from_rgb
from vsr.video.probe import VideoInfo
from vsr.video.stills import (
    read_alpha,
    text_chunk,
    with_chunks,
    with_color_chunks,
)
from vsr.video.writing.encoders import DPX, EXR, PICTURES, PNG
from vsr.video.writing.parts import Part

_log = logging.getLogger(__name__)

_KEEPS_ALPHA = (PNG, "tiff", EXR)
_RGB = LumaEquations(0.299, 0.114, full=True)  # of no effect on RGB
_DPX_HEADER, _DPX_FILM_HEADER = 1664, 384
"""Bytes of the general header, and of the one with film edge code and time code behind it."""
_DPX_COLOR = slice(801, 803)
"""The bytes of transfer and colorimetry of the first picture element."""


@dataclass(frozen=True, slots=True)
class PictureEncoder:
    """Encodes the PNG pictures of parts as files of a codec, upright.

    Transparency, the colour profile of a PNG, and the film header of a DPX come from the source.
    """

    source: VideoInfo
    codec: str

    def encoded(self, png: bytes, original: Path | None) -> bytes:
        """Return the file of one picture, whose source is the file `original`, if there is one."""
        rotation, codec = self.source.rotation, self.codec
        pixels = upright(decode_image(png), rotation) if rotation or codec != PNG else None
        dtype = np.uint8 if pixels is None and png[24] == 8 else np.uint16  # PNG tells its bits
        if pixels is not None:
            dtype = np.uint8 if pixels.itemsize == 1 else np.uint16
        keeps_alpha = original is not None and codec in _KEEPS_ALPHA
        alpha = read_alpha(original, dtype) if original and keeps_alpha else None
        if alpha is not None:
            pixels = _with_alpha(decode_image(png) if pixels is None else pixels, alpha)
        if codec == PNG:
            png = png if pixels is None else encode_image(pixels, ".png")
            png = with_color_chunks(png, original) if original else png
            if self.source.color_profile is not None:
                png = with_profile(png, self.source.color_profile)
            return with_chunks(png, [text_chunk("Software", MARK)])
        assert pixels is not None
        if codec == DPX:
            return _dpx(pixels, depth_of(self.source.pix_fmt), original)
        if codec == EXR:
            is_exr = original is not None and original.suffix.lower() == ".exr"
            return _exr(pixels, is_premultiplied=is_exr)
        return encode_image(pixels, PICTURES[codec][0])


class PictureFolder:
    """A folder of pictures being written: with the names of the source's, or else numbered."""

    def __init__(self, folder: Path, source: VideoInfo, codec: str) -> None:
        self._folder = folder
        self._encoder = PictureEncoder(source, codec)
        self._originals = source.pictures
        self._names = _names(self._originals)
        self._count = 0
        try:
            folder.mkdir()
        except OSError as error:
            raise OutputError(f"{folder} cannot be made: {error.strerror or error}") from error
        if not self._originals:
            _log.warning(
                "a folder of pictures holds no times, tags or sound: those of %s are left out",
                source.path,
            )

    def add(self, part: Part) -> None:
        """Write the next pictures; the pts of a picture is its place in a folder of pictures."""
        suffix = PICTURES[self._encoder.codec][0]
        for frame in part.frames:
            place = 0 if len(self._originals) == 1 else frame.pts
            original = self._originals[place] if self._originals else None
            stem = self._names[place] if self._originals else f"{self._count:08d}"
            _write(self._folder / f"{stem}{suffix}", self._encoder.encoded(frame.data, original))
            self._count += 1

    def finish(self) -> None:
        """Do nothing: every picture is complete."""

    def abort(self) -> None:
        """Do nothing: the folder is removed as a whole."""


class PictureFile:
    """One picture being written."""

    def __init__(self, path: Path, source: VideoInfo, codec: str) -> None:
        self._path = path
        self._encoder = PictureEncoder(source, codec)

    def add(self, part: Part) -> None:
        """Write the picture."""
        original = self._encoder.source.path
        _write(self._path, self._encoder.encoded(part.frames[0].data, original))

    def finish(self) -> None:
        """Do nothing: the picture is complete."""

    def abort(self) -> None:
        """Do nothing: the file is removed as a whole."""


def note_picture_losses(source: VideoInfo, path: Path, codec: str) -> None:
    """Say in the log what the output at `path` lacks of the first picture of the source."""
    if not source.pictures:
        return
    first = source.pictures[0]
    kind = codec if codec in PICTURES else path.suffix
    with suppress(InputError, cv2.error, OSError):  # its turn shows that it is broken
        if codec not in _KEEPS_ALPHA and read_alpha(first, np.uint8) is not None:
            _log.warning("%s has an alpha channel, which %s leaves out", source.path, kind)
    if codec in PICTURES and codec != PNG and source.color_profile is not None:
        _log.warning("%s has a colour profile (ICC), which %s leaves out", source.path, kind)


def _names(originals: Sequence[Path]) -> list[str]:
    """Return names without their endings; with them, where two pictures would have one name."""
    stems = Counter(path.stem for path in originals)
    return [path.stem if stems[path.stem] == 1 else path.name for path in originals]


def _write(path: Path, content: bytes) -> None:
    with as_output_error(path):
        path.write_bytes(content)


def _with_alpha(pixels: Pixels, alpha: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    large = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.dstack([pixels, large.astype(pixels.dtype)])


def _dpx(pixels: Pixels, depth: int, original: Path | None) -> bytes:
    """Return a DPX file in the source's bits, with the source's film header if it is a DPX."""
    header = b""
    if original is not None and original.suffix.lower() == ".dpx":
        with original.open("rb") as file:
            header = file.read(_DPX_HEADER + _DPX_FILM_HEADER)
    end = "le" if header.startswith(b"XPDS") else "be"
    if pixels.itemsize == 1 or depth <= 8:
        frame = VideoFrame.from_ndarray(as_uint8(pixels), format="rgb24")
    elif depth > 12:
        frame = VideoFrame.from_ndarray(pixels, format="rgb48le").reformat(format=f"rgb48{end}")
    else:
        planes = f"gbrp{10 if depth <= 10 else 12}"
        frame = planes_from_rgb(pixels, f"{planes}le", _RGB, siting=None, threads=1)
        frame = frame.reformat(format=f"{planes}{end}")
    return _with_film_header(_encoded(frame, DPX), header)


def _with_film_header(dpx: bytes, header: bytes) -> bytes:
    """Return a DPX file with transfer, colorimetry, edge code and time code of another one."""
    if len(header) < _DPX_HEADER + _DPX_FILM_HEADER:
        return dpx
    order = "<" if dpx.startswith(b"XPDS") else ">"
    general = bytearray(dpx[:_DPX_HEADER])
    general[_DPX_COLOR] = header[_DPX_COLOR]
    (offset,) = struct.unpack_from(f"{order}I", header, 4)
    if header[:4] != dpx[:4] or offset < _DPX_HEADER + _DPX_FILM_HEADER:
        return bytes(general) + dpx[_DPX_HEADER:]
    film = header[_DPX_HEADER:]
    struct.pack_into(f"{order}I", general, 4, _DPX_HEADER + _DPX_FILM_HEADER)
    struct.pack_into(f"{order}I", general, 16, len(dpx) + _DPX_FILM_HEADER)
    struct.pack_into(f"{order}II", general, 24, _DPX_HEADER, _DPX_FILM_HEADER)
    return bytes(general) + film + dpx[_DPX_HEADER:]


def _exr(pixels: Pixels, *, is_premultiplied: bool) -> bytes:
    """Return an OpenEXR file of linear light in half precision, which premultiplies by alpha."""
    light = linear_from_srgb(pixels[..., :3])
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:] / np.float32(np.iinfo(pixels.dtype).max)
        light = light if is_premultiplied else light * alpha
        planes = np.dstack([light, alpha]).astype(np.float32)
        frame = VideoFrame.from_ndarray(planes, format="gbrapf32le")
    else:
        frame = VideoFrame.from_ndarray(light, format="gbrpf32le")
    return marked_exr(_encoded(frame, EXR, {"compression": "zip16"}))


def _encoded(frame: VideoFrame, codec: str, options: dict[str, str] | None = None) -> bytes:
    context = CodecContext.create(codec, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height = frame.width, frame.height
    context.pix_fmt, context.time_base = frame.format.name, Fraction(1, 25)
    context.options = options or {}
    frame.pts = 0
    try:
        return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])
    except av.FFmpegError as error:
        raise OutputError(f"{codec} fails: {reason_of(error)}") from error
