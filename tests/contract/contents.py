"""What is in a film, told by PyAV alone: none of the code that is tested has a word in it."""

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2

_OF_THE_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder")
_OF_THE_MAKING = ("encoder", "duration", "bps", "number_of_", "_statistics", "handler_name")
_OF_THE_MAKING += ("vendor_id", "alpha_mode")  # of which none comes out
_ADTS = b"\xff\xf1", b"\xff\xf9"
_HDR = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")
_RATE = 25


@dataclass(frozen=True)
class Track:
    """A stream beside the video: its packets by hash, and when each is shown."""

    kind: str
    codec: str
    tags: dict[str, str]
    flags: int
    hashes: tuple[str, ...]
    times: tuple[Fraction, ...]
    durations: tuple[Fraction, ...]
    """Of subtitles, whose ends nothing else tells."""


@dataclass(frozen=True)
class Contents:
    """Everything of a film that has to come along."""

    size: tuple[int, int]
    times: tuple[Fraction, ...]
    end: Fraction
    aspect: Fraction
    rotation: int
    color: tuple[int, ...]
    depth: int
    hdr: tuple[bytes, ...]
    tags: dict[str, str]
    video_tags: dict[str, str]
    chapters: tuple[tuple[str, Fraction, Fraction], ...]
    tracks: tuple[Track, ...]
    files: tuple[tuple[str, str], ...]
    """Attachments and cover pictures: name or kind, and hash."""


def contents(path: Path) -> Contents:
    """Read a film to its end; packets that do not decode are passed over.

    Pictures in a folder, and frames without times, are shown 25 a second.
    """
    if path.is_dir():
        return _folder(path)
    with av.open(path) as container:
        video = next(s for s in container.streams.video if not _is_cover(s))
        packets = defaultdict(list)
        frames = []
        for packet in container.demux():
            if packet.size:
                packets[packet.stream_index].append(packet)
            if packet.stream == video:
                try:
                    frames += packet.decode()
                except av.FFmpegError:
                    continue
        shown = [frame for frame in frames if frame.width]
        first, last = shown[0], shown[-1]
        times = [None if f.pts is None else f.pts * f.time_base for f in shown]
        if None in times:
            times = _even(len(shown))
        others = [s for s in container.streams if s.index != video.index]
        return Contents(
            size=(first.width, first.height),
            times=tuple(times),
            end=times[-1] + (last.duration or 0) * video.time_base,
            aspect=video.sample_aspect_ratio or Fraction(1),
            rotation=first.rotation,
            color=(first.color_primaries, first.color_trc, first.colorspace, first.color_range),
            depth=first.format.components[0].bits,
            hdr=_hdr(first),
            tags=_tags(container.metadata, _OF_THE_FILE),
            video_tags=_tags(video.metadata, _OF_THE_MAKING),
            chapters=tuple(_chapter(chapter) for chapter in container.chapters()),
            tracks=tuple(
                _track(s, packets[s.index])
                for s in others
                if s.type in ("audio", "subtitle", "data")
            ),
            files=tuple(sorted(_file(s, packets) for s in others if _is_file(s))),
        )


def _folder(path: Path) -> Contents:
    files = sorted(path.iterdir())
    first = cv2.imread(str(files[0]), cv2.IMREAD_UNCHANGED)
    return Contents(
        size=(first.shape[1], first.shape[0]),
        times=tuple(_even(len(files))),
        end=Fraction(len(files), _RATE),
        aspect=Fraction(1),
        rotation=0,
        color=(0, 0, 0, 0),
        depth=8 * first.itemsize,
        hdr=(),
        tags={},
        video_tags={},
        chapters=(),
        tracks=(),
        files=(),
    )


def _even(count: int) -> list[Fraction]:
    return [Fraction(number, _RATE) for number in range(count)]


def _is_cover(stream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _is_file(stream) -> bool:
    return stream.type == "attachment" or (stream.type == "video" and _is_cover(stream))


def _tags(metadata, left_out: tuple[str, ...]) -> dict[str, str]:
    return {
        key.lower(): value
        for key, value in metadata.items()
        if not key.lower().startswith(left_out)
    }


def _hdr(frame) -> tuple[bytes, ...]:
    try:
        return tuple(bytes(data) for data in frame.side_data if data.type.name in _HDR)
    except ValueError:  # PyAV does not know EXIF
        return ()


def _track(stream, packets) -> Track:
    """A track; PCM, which every container cuts in its own way, is taken for one packet."""
    context = stream.codec_context
    codec = "" if context is None else context.codec.canonical_name
    contents = [_without_adts(bytes(packet)) for packet in packets]
    if codec.startswith("pcm"):
        packets, contents = packets[:1], [b"".join(contents)]
    return Track(
        kind=stream.type,
        codec=codec,
        tags=_tags(stream.metadata, _OF_THE_MAKING),
        flags=int(stream.disposition),
        hashes=tuple(hashlib.sha256(content).hexdigest() for content in contents),
        times=tuple(
            (packet.dts if packet.pts is None else packet.pts) * packet.time_base
            for packet in packets
        ),
        durations=tuple(
            (packet.duration or 0) * packet.time_base
            for packet in packets
            if stream.type == "subtitle"
        ),
    )


def _without_adts(packet: bytes) -> bytes:
    """AAC without the header of 7 bytes that it has in transport streams alone."""
    return packet[7:] if packet.startswith(_ADTS) else packet


def _chapter(chapter) -> tuple[str, Fraction, Fraction]:
    time_base = chapter["time_base"]
    title = chapter["metadata"].get("title", "")
    return title, chapter["start"] * time_base, chapter["end"] * time_base


def _file(stream, packets) -> tuple[str, str]:
    if stream.type == "attachment":
        return f"{stream.name} {stream.mimetype}", hashlib.sha256(stream.data).hexdigest()
    [picture] = packets[stream.index]
    return "cover", hashlib.sha256(bytes(picture)).hexdigest()
